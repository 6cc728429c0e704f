//! Calls that are rare, and that Rust's standard library does not make: a script in Python makes them.

use std::process::Command;

use libtest_mimic::{Completion, Trial};
use redtape_core::{BodyBuf, ConnInfo, Data, DataFlags, Direction, RangesBuf, Role, Source};

use super::recording::{Recording, record, run_trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("payload_of_recvmmsg_is_the_first_message's", recvmmsg),
        trial("sendmmsg_of_too_many_messages_has_no_payload", sendmmsg),
        trial("only_a_read_with_room_finds_the_end", empty),
        trial("payload_that_is_gone_is_no_zeros", fault),
        trial("fast_open_begins_behind_the_syn", fast_open),
    ]
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/calls.py");

fn trial(name: &'static str, test: fn()) -> Trial {
    Trial::ignorable_test(name, move || {
        if Command::new("python3").arg("--version").output().is_err() {
            return Ok(Completion::ignored_with("python3 is not installed"));
        }
        run_trial(test)
    })
}

/// Records a case of the script, which is followed as a child of this process.
fn record_case(case: &str) -> Recording {
    let recording = record(|| {
        let output = Command::new("python3").args([SCRIPT, case]).output().expect("python3 runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
    recording.check_complete();
    recording
}

/// The one call of this source.
fn only(recording: &Recording, source: Source) -> (Data<'static>, &RangesBuf) {
    let calls: Vec<_> = recording
        .events
        .iter()
        .filter_map(|event| match &event.body {
            BodyBuf::Data(data, ranges) if data.source == source && data.direction == direction_of(source) => {
                Some((*data, ranges))
            }
            _ => None,
        })
        .filter(|(data, _)| recording.conns().any(|conn| conn.key == data.conn))
        .collect();
    let [call] = calls.as_slice() else { panic!("{calls:?}") };
    *call
}

fn direction_of(source: Source) -> Direction {
    if source == Source::Recvmmsg { Direction::In } else { Direction::Out }
}

fn recvmmsg() {
    let recording = record_case("recvmmsg");
    let (data, ranges) = only(&recording, Source::Recvmmsg);
    assert_eq!((data.pos, data.len), (0, 500));
    let captured: Vec<_> = ranges.as_ranges().iter().collect();
    assert_eq!(captured, [(0, &[b'A'; 300][..])]);
}

fn sendmmsg() {
    let recording = record_case("sendmmsg");
    let (data, ranges) = only(&recording, Source::Sendmmsg);
    assert_eq!((data.pos, data.len), (36, 64), "what is known is where it ended");
    assert_eq!(ranges.as_ranges().captured(), 0);
    assert_eq!(recording.counters.bad_argument, 1);
}

fn empty() {
    let recording = record_case("empty");
    let server = recording.conns().find(|conn| conn.role == Role::Server).expect("a server's end").key;
    let reads: Vec<_> =
        recording.data(server, Direction::In).iter().map(|(data, _)| (data.source, data.pos, data.len)).collect();
    let end = |source| (source, 20, 0);
    let ends = [Source::Readv, Source::Recvmsg, Source::Recvmmsg].map(end);
    assert_eq!(reads, [&[(Source::Readv, 0, 20)], &ends[..]].concat());
    assert_eq!(recording.counters.bad_argument, 0);
}

fn fault() {
    let recording = record_case("fault");
    let (data, ranges) = only(&recording, Source::Write);
    assert!(data.len > 8192 && data.stamp.flags.contains(DataFlags::FAULT), "{data:?}");
    assert_eq!(ranges.as_ranges().captured(), 0);
    assert_eq!(recording.counters.fault, 1);
}

fn fast_open() {
    let recording = record_case("fastopen");
    let last = |role| -> Vec<&ConnInfo> {
        let mut conns: Vec<&ConnInfo> = recording.conns().filter(|conn| conn.role == role).collect();
        conns.reverse();
        conns.sort_by_key(|conn| conn.id);
        conns.dedup_by_key(|conn| conn.id);
        conns
    };
    let (clients, servers) = (last(Role::Client), last(Role::Server));
    assert_eq!((clients.len(), servers.len()), (2, 2));
    for client in clients {
        let ends = |server: &&&ConnInfo| server.isn_remote == client.isn_local && server.isn_local == client.isn_remote;
        let server = servers.iter().find(ends).unwrap_or_else(|| panic!("no other end of {client:?} in {servers:?}"));
        for (conn, direction) in [(client, Direction::Out), (*server, Direction::In), (*server, Direction::Out)] {
            let calls = recording.data(conn.key, direction);
            assert_eq!(calls.iter().map(|(data, _)| (data.pos, data.len)).collect::<Vec<_>>(), [(0, 4)]);
        }
    }
}
