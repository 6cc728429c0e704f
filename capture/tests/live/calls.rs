//! Each call: its position, length, payload and flags.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;

use libtest_mimic::Trial;
use redtape_capture::{ArrivalHook, PayloadLimits, ProbeOptions};
use redtape_core::{DataFlags, Direction, Role, Source};
use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags, recvmsg, sendmsg};

use super::recording::{bytes, pair, record, record_with, send, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("calls_of_every_kind", calls_of_every_kind),
        trial("a_head_of_8_kib_in_one_read_is_kept_whole", whole_head),
        trial("large_transfers_are_cut_to_their_edges", edges),
        trial("payload_limits_are_obeyed", payload_limits),
        trial("tls_records_are_cut_to_their_heads", tls),
        trial("peeks_and_non_blocking_reads_are_flagged", flags),
        trial("without_newer_helpers_the_same_is_recorded", plain_helpers),
    ]
}

fn calls_of_every_kind() {
    let recording = record(exchange_of_every_kind);
    recording.check_complete();
    check_exchange(&recording);
}

/// Kernels before 5.12 lack helpers, and those before 6.3 the better hook.
fn plain_helpers() {
    let options =
        ProbeOptions { plain_helpers: true, arrival_hooks: vec![ArrivalHook::TcpProbe], ..ProbeOptions::default() };
    let recording = record_with(&options, |_| exchange_of_every_kind());
    assert_eq!(recording.hook, ArrivalHook::TcpProbe);
    recording.check_complete();
    check_exchange(&recording);
}

const STREAM_BYTES: u64 = 300 + 700 + 500 + 3000 + 20_000 + 10_000;

fn exchange_of_every_kind() {
    let (mut client, mut server) = pair();
    let mut at = 0;
    // std's Read and Write use recv and send; on a descriptor as a file they use read and write.
    rustix::io::write(&client, &bytes(at, 300)).expect("write");
    let mut buffer = vec![0; 32 << 10];
    assert_eq!(rustix::io::read(&server, &mut buffer[..]).expect("read"), 300);
    at += 300;

    let piece = bytes(at, 700);
    let parts = [IoSlice::new(&piece[..100]), IoSlice::new(&piece[100..101]), IoSlice::new(&piece[101..])];
    assert_eq!(client.write_vectored(&parts).expect("writev"), 700);
    let (first, second) = buffer.split_at_mut(200);
    assert_eq!(server.read_vectored(&mut [IoSliceMut::new(first), IoSliceMut::new(second)]).expect("readv"), 700);
    at += 700;

    client.write_all(&bytes(at, 500)).expect("sendto");
    server.read_exact(&mut buffer[..500]).expect("recvfrom");
    at += 500;

    let piece = bytes(at, 3000);
    let parts = [IoSlice::new(&piece[..1500]), IoSlice::new(&[]), IoSlice::new(&piece[1500..])];
    let mut none = SendAncillaryBuffer::default();
    assert_eq!(sendmsg(&client, &parts, &mut none, SendFlags::empty()).expect("sendmsg"), 3000);
    let (first, second) = buffer.split_at_mut(1000);
    let mut none = RecvAncillaryBuffer::default();
    let parts = &mut [IoSliceMut::new(first), IoSliceMut::new(second)];
    let message = recvmsg(&server, parts, &mut none, RecvFlags::empty()).expect("recvmsg");
    assert_eq!((message.bytes, message.flags), (3000, ReturnFlags::empty()));
    at += 3000;

    send_file(&client, at, 20_000);
    server.read_exact(&mut buffer[..20_000]).expect("recvfrom");
    at += 20_000;

    splice_through(&client, &mut server, at, 10_000);
    at += 10_000;
    assert_eq!(at, STREAM_BYTES);
    drop(client);
    assert_eq!(server.read(&mut buffer).expect("end"), 0);
}

fn send_file(to: &TcpStream, at: u64, len: usize) {
    let path = std::env::temp_dir().join(format!("redtape-live-{}", std::process::id()));
    std::fs::write(&path, bytes(at, len as u64)).expect("writes a file");
    let file = std::fs::File::open(&path).expect("opens it");
    std::fs::remove_file(&path).expect("removes it");
    assert_eq!(rustix::fs::sendfile(to, file.as_fd(), None, len).expect("sendfile"), len);
}

fn splice_through(from: &TcpStream, to: &mut TcpStream, at: u64, len: usize) {
    let flags = rustix::pipe::SpliceFlags::empty();
    let (out, into) = rustix::pipe::pipe().expect("pipe");
    rustix::io::write(&into, &bytes(at, len as u64)).expect("fills the pipe");
    assert_eq!(rustix::pipe::splice(&out, None, from, None, len, flags).expect("splice out"), len);
    let mut left = len;
    while left > 0 {
        left -= rustix::pipe::splice(&*to, None, &into, None, left, flags).expect("splice in");
    }
}

fn check_exchange(recording: &super::recording::Recording) {
    let (client, server) = (recording.conn(Role::Client), recording.conn(Role::Server));
    assert_eq!(client.isn_local, server.isn_remote);
    assert_eq!(client.isn_remote, server.isn_local);
    assert!(client.isn_local.is_some() && client.established.is_some() && server.established.is_some());
    let [client_end, server_end] = [client, server].map(|conn| conn.endpoint.expect("known"));
    assert_eq!((client_end.local, client_end.remote), (server_end.remote, server_end.local));
    recording.check_stream(client.key, Direction::Out, 0, STREAM_BYTES);
    recording.check_stream(server.key, Direction::In, 0, STREAM_BYTES);
    let sources = |conn, direction| {
        let mut sources: Vec<_> = recording.data(conn, direction).iter().map(|(data, _)| data.source).collect();
        sources.dedup();
        sources
    };
    use Source::{Read, Readv, Recvfrom, Recvmsg, Sendfile, Sendmsg, Sendto, Splice, Write, Writev};
    assert_eq!(sources(client.key, Direction::Out), [Write, Writev, Sendto, Sendmsg, Sendfile, Splice]);
    assert_eq!(sources(server.key, Direction::In), [Read, Readv, Recvfrom, Recvmsg, Recvfrom, Splice, Recvfrom]);
}

fn whole_head() {
    let recording = record(|| {
        let (mut client, mut server) = pair();
        send(&mut client, &mut server, 0, 8192);
        send(&mut server, &mut client, 0, 100);
        send(&mut client, &mut server, 8192, 8192);
    });
    recording.check_complete();
    let server = recording.conn(Role::Server).key;
    recording.check_stream(server, Direction::In, 0, 2 * 8192);
    let kept: Vec<_> = recording
        .data(server, Direction::In)
        .iter()
        .map(|(data, ranges)| (data.len, ranges.as_ranges().captured()))
        .collect();
    assert_eq!(kept.iter().map(|(len, _)| len).sum::<u64>(), 2 * 8192);
    assert!(kept.iter().all(|&(len, captured)| captured as u64 == len), "{kept:?}");
}

fn edges() {
    let recording = record(|| {
        let (mut client, mut server) = pair();
        for piece in 0..3 {
            send(&mut client, &mut server, piece * 30_000, 30_000);
        }
    });
    recording.check_complete();
    let client = recording.conn(Role::Client).key;
    recording.check_stream(client, Direction::Out, 0, 90_000);
    let pieces = |n: usize| -> Vec<_> {
        let data = recording.data(client, Direction::Out);
        data[n].1.as_ranges().iter().map(|(offset, bytes)| (offset, bytes.len())).collect()
    };
    assert_eq!(pieces(0), [(0, 8192), (30_000 - 64, 64)]);
    assert_eq!(pieces(1), [(0, 64), (30_000 - 64, 64)]);
}

fn payload_limits() {
    let payload = PayloadLimits { head: 1000, prefix: 10, tail: 0 };
    let recording = record_with(&ProbeOptions { payload, ..ProbeOptions::default() }, |_| {
        let (mut client, mut server) = pair();
        send(&mut client, &mut server, 0, 600);
        send(&mut client, &mut server, 600, 600);
        send(&mut client, &mut server, 1200, 600);
    });
    let client = recording.conn(Role::Client).key;
    let kept: Vec<_> =
        recording.data(client, Direction::Out).iter().map(|(_, ranges)| ranges.as_ranges().captured()).collect();
    assert_eq!(kept, [600, 400, 10]);
}

fn tls() {
    let recording = record(|| {
        let (mut client, mut server) = pair();
        let mut buffer = [0; 1000];
        client.write_all(&[&[0x16, 3, 1, 0, 200][..], &[9; 200]].concat()).expect("hello");
        server.read_exact(&mut buffer[..5]).expect("reads the record's head");
        server.read_exact(&mut buffer[..200]).expect("reads the record");
        client.write_all(&[&[0x17, 3, 3, 0, 100][..], &[9; 100]].concat()).expect("data");
        server.read_exact(&mut buffer[..105]).expect("reads it");
    });
    recording.check_complete();
    let client = recording.conn(Role::Client).key;
    for (data, ranges) in recording.data(client, Direction::Out) {
        let (prefix, ..) = ranges.as_ranges().parts();
        assert_eq!(ranges.as_ranges().captured(), 5, "{data:?}");
        assert!(matches!(prefix, [0x16 | 0x17, 3, ..]));
    }
    let server = recording.conn(Role::Server).key;
    assert!(recording.data(server, Direction::In).iter().all(|(_, ranges)| ranges.as_ranges().captured() <= 5));
}

fn flags() {
    let recording = record(|| {
        let (mut client, mut server) = pair();
        let mut buffer = [0; 100];
        client.write_all(&bytes(0, 40)).expect("writes");
        assert_eq!(server.peek(&mut buffer[..10]).expect("peeks"), 10);
        server.set_nonblocking(true).expect("sets the mode");
        assert_eq!(server.read(&mut buffer).expect("reads"), 40);
        assert!(server.read(&mut buffer).is_err(), "there is nothing to read");
    });
    recording.check_complete();
    let server = recording.conn(Role::Server).key;
    recording.check_stream(server, Direction::In, 0, 40);
    let flags: Vec<_> = recording.data(server, Direction::In).iter().map(|(data, _)| data.stamp.flags).collect();
    assert_eq!(flags, [DataFlags::PEEK, DataFlags::NONBLOCKING]);
}
