//! The life of connections and processes, and the times of queues.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use redtape_capture::ProbeOptions;
use redtape_core::{Body, Direction, MonoNanos, Role, Tgid};

use super::recording::{bytes, pair, process_key, record, record_with, send, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("waits_before_accept_and_read_are_seen", waits),
        trial("an_open_connection_goes_on_at_its_true_position", preexisting),
        trial("a_half_closed_socket_is_read_to_its_end", half_close),
        trial("a_refused_connection_is_an_error", refused),
        trial("a_reset_is_an_error", reset),
        trial("both_families_and_mapped_addresses", families),
        trial("children_are_followed", children),
        trial("an_event_wait_turns_the_loop", loop_turns),
        trial("a_followed_listener_tells_arrivals_before_the_accept", followed_listener),
    ]
}

const ACCEPT_WAIT: Duration = Duration::from_millis(60);
const READ_WAIT: Duration = Duration::from_millis(40);

fn waits() {
    let recording = record(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("bound");
        let client = std::thread::spawn(move || {
            let mut client = TcpStream::connect(address).expect("connects");
            client.write_all(&bytes(0, 100)).expect("writes");
            client.read_exact(&mut [0; 50]).expect("reads");
        });
        std::thread::sleep(ACCEPT_WAIT);
        let (mut server, _) = listener.accept().expect("accepts");
        std::thread::sleep(READ_WAIT);
        server.read_exact(&mut [0; 100]).expect("reads");
        server.write_all(&bytes(0, 50)).expect("writes");
        client.join().expect("client ends");
    });
    recording.check_complete();
    let server = recording.conn(Role::Server);
    let established = server.established.expect("seen");
    let bodies = recording.bodies(server.key);
    let accepted = bodies.iter().find_map(|body| match body {
        Body::Accept { stamp, .. } => Some(stamp.exit),
        _ => None,
    });
    let arrived = recording.events.iter().find_map(|event| match event.as_event().body {
        Body::Arrival { conn, end: 100, fin: false } if conn == server.key => Some(event.time),
        _ => None,
    });
    let accepted = accepted.expect("an accept");
    let read = recording.data(server.key, Direction::In)[0].0.stamp;
    assert!(accepted.since(established) >= nanos(ACCEPT_WAIT / 2), "accept wait {}", accepted.since(established));
    let waited = read.exit.since(arrived.expect("an arrival before the accept"));
    assert!(waited >= nanos(READ_WAIT + ACCEPT_WAIT / 2), "read wait {waited}");
    assert!(read.entry.since(accepted) >= nanos(READ_WAIT), "{}", read.entry.since(accepted));
    assert!(matches!(bodies.last(), Some(Body::Close { .. })), "{bodies:?}");
    // The client's read began before the server woke up: its entry time is the call's, not its exit's.
    let client = recording.conn(Role::Client).key;
    let stamp = recording.data(client, Direction::In)[0].0.stamp;
    assert!(stamp.exit.since(stamp.entry) >= nanos(READ_WAIT), "{stamp:?}");
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("short")
}

fn preexisting() {
    let (mut client, mut server) = pair();
    send(&mut client, &mut server, 0, 5000);
    send(&mut server, &mut client, 0, 70_000);
    let recording = record(|| {
        send(&mut client, &mut server, 5000, 300);
        send(&mut server, &mut client, 70_000, 200);
        drop((client, server));
    });
    recording.check_complete();
    let (client, server) = (recording.conn(Role::Client), recording.conn(Role::Server));
    recording.check_stream(client.key, Direction::Out, 5000, 5300);
    recording.check_stream(server.key, Direction::In, 5000, 5300);
    recording.check_stream(server.key, Direction::Out, 70_000, 70_200);
    recording.check_stream(client.key, Direction::In, 70_000, 70_200);
    assert!(client.preexisting && server.preexisting && client.established.is_none());
    assert!(client.isn_local.is_some() && client.isn_remote.is_some());
    assert_eq!((client.isn_local, client.isn_remote), (server.isn_remote, server.isn_local));
    assert_eq!((client.first_out, client.first_in), (5000, 70_000));
    assert_eq!((server.first_in, server.first_out), (5000, 70_000));
}

/// The client's socket is in TCP's CLOSE before the client reads: no record may come after its Close, none be missing.
fn half_close() {
    let recording = record(|| {
        let (mut client, mut server) = pair();
        client.write_all(&bytes(0, 10)).expect("writes");
        client.shutdown(Shutdown::Write).expect("half-closes");
        let mut read = Vec::new();
        server.read_to_end(&mut read).expect("reads to the end");
        server.write_all(&bytes(0, 3000)).expect("answers");
        drop(server);
        std::thread::sleep(Duration::from_millis(20));
        client.read_to_end(&mut read).expect("reads to the end");
    });
    recording.check_complete();
    let client = recording.conn(Role::Client).key;
    recording.check_stream(client, Direction::In, 0, 3000);
    let end = recording.data(client, Direction::In).last().expect("reads").0;
    assert_eq!((end.pos, end.len), (3000, 0));
    let last = recording.events.iter().rfind(|event| event.as_event().body.conn() == Some(client));
    assert!(matches!(last.map(|event| event.as_event().body), Some(Body::Close { .. })), "{last:?}");
    let shut = recording.bodies(client).into_iter().any(|body| matches!(body, Body::Shutdown { .. }));
    let fin =
        recording.bodies(client).into_iter().any(|body| matches!(body, Body::Arrival { end: 3000, fin: true, .. }));
    assert!(shut && fin);
}

fn refused() {
    let address = TcpListener::bind("127.0.0.1:0").expect("loopback").local_addr().expect("bound");
    let recording = record(|| assert!(TcpStream::connect(address).is_err()));
    recording.check_complete();
    let client = recording.conn(Role::Client);
    assert_eq!(client.endpoint.expect("known").remote, address);
    assert_eq!((client.isn_local, client.established), (None, None));
    let refused = |body: &Body<'_>| matches!(body, Body::Connect { errno: 111, .. });
    let error = |body: &Body<'_>| matches!(body, Body::SocketError { errno: 111, .. });
    let bodies = recording.bodies(client.key);
    assert!(bodies.iter().any(refused) && bodies.iter().any(error), "{bodies:?}");
}

fn reset() {
    let recording = record(|| {
        let (mut client, mut server) = pair();
        client.write_all(&bytes(0, 10)).expect("writes");
        rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).expect("sets the option");
        drop(client);
        let mut read = Vec::new();
        assert!(server.read_to_end(&mut read).is_err(), "the reset is an error");
    });
    recording.check_complete();
    let server = recording.conn(Role::Server).key;
    recording.check_stream(server, Direction::In, 0, 10);
    let reset = |body: &Body<'_>| matches!(body, Body::SocketError { errno: 104, .. });
    assert!(recording.bodies(server).iter().any(reset), "{:?}", recording.bodies(server));
}

fn families() {
    for (listen, connect) in [("[::1]:0", "[::1]"), ("[::]:0", "127.0.0.1"), ("127.0.0.1:0", "127.0.0.1")] {
        let Ok(listener) = TcpListener::bind(listen) else { continue };
        let port = listener.local_addr().expect("bound").port();
        let recording = record(|| {
            let mut client = TcpStream::connect(format!("{connect}:{port}")).expect("connects");
            let (mut server, _) = listener.accept().expect("accepts");
            send(&mut client, &mut server, 0, 20);
        });
        recording.check_complete();
        let ends = [Role::Client, Role::Server].map(|role| recording.conn(role));
        let [client, server] = ends.map(|conn| conn.endpoint.expect("known"));
        assert_eq!(client.remote.port(), port);
        assert_eq!(server.local.port(), port);
        assert_eq!(client.local.port(), server.remote.port());
        assert_eq!(client.remote.ip(), server.local.ip().to_canonical());
        assert_eq!(ends[0].netns, ends[1].netns);
        assert_ne!(ends[0].netns, 0);
    }
}

fn children() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let mut child_pid = 0;
    let recording = record(|| {
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf hello >&3; read -r line <&3");
        let mut child = Command::new("bash").args(["-c", &script]).spawn().expect("bash runs");
        child_pid = child.id();
        let (mut server, _) = listener.accept().expect("accepts");
        server.read_exact(&mut [0; 5]).expect("reads");
        server.write_all(b"hi\n").expect("writes");
        child.wait().expect("ends");
    });
    recording.check_complete();
    let child = process_key(Tgid(child_pid));
    let client = recording.conn(Role::Client);
    assert_eq!(client.process, child);
    assert_eq!(recording.data(client.key, Direction::Out)[0].0.process, child);
    let lives: Vec<_> = recording.events.iter().map(|event| event.as_event().body).collect();
    assert!(lives.contains(&Body::Exec { process: child }), "exec");
    assert!(lives.contains(&Body::Exit { process: child }), "exit");
}

fn loop_turns() {
    use rustix::event::epoll;
    let recording = record(|| {
        let (mut client, mut server) = pair();
        let waiter = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
        epoll::add(&waiter, &server, epoll::EventData::new_u64(0), epoll::EventFlags::IN).expect("adds");
        for at in 0..3 {
            client.write_all(&bytes(at, 1)).expect("writes");
            let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }];
            epoll::wait(&waiter, &mut events, None).expect("waits");
            server.read_exact(&mut [0]).expect("reads");
        }
    });
    let server = recording.conn(Role::Server).key;
    let turns: Vec<_> = recording.data(server, Direction::In).iter().map(|(data, _)| data.stamp.loop_turn).collect();
    assert_eq!(turns, [1, 2, 3]);
}

/// The listener is older than the recording; user space names it.
fn followed_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("bound");
    let netns = std::fs::read_link("/proc/self/ns/net").expect("a namespace").display().to_string();
    let netns = netns.trim_start_matches("net:[").trim_end_matches(']').parse().expect("an inode number");
    let recording = record_with(&ProbeOptions::default(), |probes| {
        probes.follow_listener(netns, address.port()).expect("room");
        let mut client = TcpStream::connect(address).expect("connects");
        client.write_all(&bytes(0, 7)).expect("writes");
        std::thread::sleep(READ_WAIT);
        let (mut server, _) = listener.accept().expect("accepts");
        server.read_exact(&mut [0; 7]).expect("reads");
    });
    recording.check_complete();
    let server = recording.conn(Role::Server);
    let accepted = recording.events.iter().find(|event| matches!(event.as_event().body, Body::Accept { .. }));
    let arrival = |body: &Body<'_>| matches!(body, Body::Arrival { end: 7, .. });
    let arrived = recording.events.iter().find(|event| arrival(&event.as_event().body)).expect("an arrival").time;
    assert!(accepted.expect("an accept").time.since(arrived) >= nanos(READ_WAIT / 2));
    assert!(server.established.is_some_and(|at| at > MonoNanos::ZERO));
    assert_eq!(server.process, process_key(Tgid(std::process::id())));
}
