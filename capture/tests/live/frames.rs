//! What is kept of HTTP/2: a script in Python speaks it, and says what it sent.

use std::process::Command;

use libtest_mimic::{Completion, Trial};
use redtape_core::{Data, Direction, RangesBuf, Role};

use super::recording::{Recording, record, run_trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("http2_is_kept_but_for_data", exchange),
        trial("http2_trailers_behind_1_mib_in_one_call_are_kept", one_write),
        trial("http2_is_found_again_behind_too_many_frames", too_many),
        trial("http2_heads_are_kept_up_to_the_limit", long_heads),
        trial("http2_is_found_where_the_server_speaks_first", eager),
        trial("a_preface_that_is_refused_hides_no_answer", refused),
    ]
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/frames.py");
const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;

fn trial(name: &'static str, test: fn()) -> Trial {
    Trial::ignorable_test(name, move || {
        if Command::new("python3").arg("--version").output().is_err() {
            return Ok(Completion::ignored_with("python3 is not installed"));
        }
        run_trial(test)
    })
}

/// A recorded case, and the two streams of bytes.
struct Case {
    recording: Recording,
    client: Vec<u8>,
    server: Vec<u8>,
}

impl Case {
    fn record(case: &str) -> Self {
        let mut printed = String::new();
        let recording = record(|| {
            let output = Command::new("python3").args([SCRIPT, case]).output().expect("python3 runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            printed = String::from_utf8(output.stdout).expect("digits");
        });
        recording.check_complete();
        let mut streams = printed.lines().map(|line| {
            let digits = line.as_bytes().chunks_exact(2);
            digits.map(|two| u8::from_str_radix(str::from_utf8(two).expect("digits"), 16).expect("digits")).collect()
        });
        let (client, server) = (streams.next().expect("the client's"), streams.next().expect("the server's"));
        Self { recording, client, server }
    }

    /// The calls that moved a stream on one end, which must be all of it, and true.
    fn calls(&self, role: Role, direction: Direction) -> Vec<(Data<'static>, &RangesBuf)> {
        let stream = self.stream(role, direction);
        let calls = self.recording.data(self.recording.conn(role).key, direction);
        let mut at = 0;
        for (data, ranges) in &calls {
            assert_eq!(data.pos, at, "{data:?}");
            for (offset, bytes) in ranges.as_ranges().iter() {
                let from = usize::try_from(data.pos + offset).expect("small");
                assert_eq!(bytes, &stream[from..from + bytes.len()], "at {from}: {data:?}");
            }
            at += data.len;
        }
        assert_eq!(at, stream.len() as u64);
        calls
    }

    fn stream(&self, role: Role, direction: Direction) -> &[u8] {
        if (role == Role::Client) == (direction == Direction::Out) { &self.client } else { &self.server }
    }

    /// Fails unless just what is to be kept of the calls from position `from` on was kept.
    fn check(&self, role: Role, direction: Direction, from: u64) {
        let stream = self.stream(role, direction);
        let wanted = wanted(stream, if direction == Direction::Out { role } else { other(role) });
        for (data, ranges) in self.calls(role, direction).into_iter().filter(|(data, _)| data.pos >= from) {
            let mut kept = vec![false; usize::try_from(data.len).expect("small")];
            for (offset, bytes) in ranges.as_ranges().iter() {
                let offset = usize::try_from(offset).expect("small");
                kept[offset..offset + bytes.len()].fill(true);
            }
            let from = usize::try_from(data.pos).expect("small");
            let mut expected = wanted[from..from + kept.len()].to_vec();
            if matches!(data.source, redtape_core::Source::Sendfile) {
                expected.fill(false);
            }
            assert_eq!(runs(&kept), runs(&expected), "{role:?} {data:?}");
        }
    }
}

fn other(role: Role) -> Role {
    if role == Role::Client { Role::Server } else { Role::Client }
}

/// Which bytes of what `by` sent are to be kept: each frame's head, and its payload, but of long DATA five bytes.
fn wanted(stream: &[u8], by: Role) -> Vec<bool> {
    let mut wanted = vec![false; stream.len()];
    let mut at = if by == Role::Client { PREFACE_BYTES } else { 0 };
    wanted[..at].fill(true);
    while at < stream.len() {
        let len = usize::from(stream[at]) << 16 | usize::from(stream[at + 1]) << 8 | usize::from(stream[at + 2]);
        let kept = if stream[at + 3] == 0 && len > 16 { 5 } else { len };
        wanted[at..at + HEAD_BYTES + kept].fill(true);
        at += HEAD_BYTES + len;
    }
    wanted
}

/// Where bytes are kept: from, to.
fn runs(kept: &[bool]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (at, _) in kept.iter().enumerate().filter(|(_, kept)| **kept) {
        match runs.last_mut() {
            Some((_, end)) if *end == at => *end += 1,
            _ => runs.push((at, at + 1)),
        }
    }
    runs
}

/// The pieces of a call: offset and length.
fn pieces(ranges: &RangesBuf) -> Vec<(u64, usize)> {
    ranges.as_ranges().iter().map(|(offset, bytes)| (offset, bytes.len())).collect()
}

fn exchange() {
    let case = Case::record("exchange");
    for role in [Role::Client, Role::Server] {
        for direction in [Direction::In, Direction::Out] {
            case.check(role, direction, 0);
        }
    }
    let large: Vec<_> =
        case.calls(Role::Server, Direction::Out).into_iter().filter(|(data, _)| data.len > 20_000).collect();
    assert!(large.len() > 20);
    for (data, ranges) in large {
        let (_, table, _) = ranges.as_ranges().parts();
        assert!(ranges.as_ranges().captured() + table.len() <= 300, "{data:?}");
    }
}

fn one_write() {
    const HEAD: usize = 9 + 200;
    const CHUNK: usize = 9 + 16384;
    let case = Case::record("one_write");
    let calls = case.calls(Role::Server, Direction::Out);
    let [_, (large, ranges), (_, head)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(usize::try_from(large.len), Ok(HEAD + 64 * CHUNK + 49));
    let mut expected = vec![(0, HEAD + 14)];
    expected.extend((1..12).map(|chunk| ((HEAD + chunk * CHUNK) as u64, 14)));
    expected.push(((HEAD + 64 * CHUNK) as u64, 49));
    assert_eq!(pieces(ranges), expected);
    assert_eq!(pieces(head), [(0, HEAD)]);
}

fn too_many() {
    let case = Case::record("too_many");
    let calls = case.calls(Role::Server, Direction::Out);
    let [_, (many, ranges), (next, _)] = calls.as_slice() else { panic!("{calls:?}") };
    let kept = pieces(ranges);
    assert_eq!(kept[..2], [(0, 14), (29, 14)]);
    assert_eq!(kept.len(), 13, "{kept:?}");
    assert_eq!(kept.last(), Some(&(many.len - 64, 64)));
    case.check(Role::Server, Direction::Out, next.pos);
}

fn long_heads() {
    let case = Case::record("long_heads");
    let calls = case.calls(Role::Server, Direction::Out);
    let [_, (_, ranges), (next, _)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(pieces(ranges), [(0, 7680), (9 + 16384, 9), (2 * (9 + 16384), 9)]);
    case.check(Role::Server, Direction::Out, next.pos);
}

fn eager() {
    Case::record("eager").check(Role::Server, Direction::Out, 0);
}

fn refused() {
    let case = Case::record("refused");
    for (role, direction) in [(Role::Server, Direction::Out), (Role::Client, Direction::In)] {
        let calls = case.calls(role, direction);
        let kept: usize = calls.iter().map(|(_, ranges)| ranges.as_ranges().captured()).sum();
        assert_eq!(kept, case.server.len());
    }
}
