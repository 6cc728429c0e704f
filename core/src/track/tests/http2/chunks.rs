//! However bytes come, the same exchanges come out.

use super::super::script::render;
use super::super::script::run;
use super::Wire;
use super::wire::{Fields, data, frame};
use crate::limits::Limits;
use crate::synth::frames::{CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PADDED, PING};

const FIELDS: Fields<'_> = &[(":method", "POST"), (":scheme", "http"), (":path", "/p"), ("user-agent", "agent")];

/// What both ends say, in turns.
fn turns(wire: &mut Wire) -> Vec<(&'static str, Vec<u8>)> {
    let block = wire.block(">", FIELDS);
    let (first, rest) = block.split_at(5);
    let first = [&[2][..], first, &[0; 2]].concat();
    let up = [
        frame(HEADERS, PADDED, 1, &first),
        frame(CONTINUATION, END_HEADERS, 1, rest),
        data(1, false, 20),
        frame(PING, 0, 0, &[0; 8]),
        frame(0, PADDED | END_STREAM, 1, &[&[3][..], b"body", &[0; 3]].concat()),
        wire.headers(">", 3, true, FIELDS),
    ];
    let down = [
        wire.response(3, "200", false),
        wire.response(1, "503", false),
        data(3, false, 30),
        data(1, true, 0),
        wire.headers("<", 3, true, &[("grpc-status", "0")]),
    ];
    vec![(">", up.concat()), ("<", down.concat())]
}

fn exchanges(cut: impl Fn(usize, &[u8]) -> Vec<usize>) -> String {
    let mut wire = Wire::new();
    for (turn, (way, bytes)) in turns(&mut wire).into_iter().enumerate() {
        let mut rest = &bytes[..];
        for at in cut(turn, &bytes) {
            let (piece, after) = rest.split_at(at);
            wire.script.bytes(way, piece);
            rest = after;
        }
        wire.script.bytes(way, rest);
    }
    wire.script.close();
    let found = render(&run(&wire.script.events, &Limits::default()));
    // Times differ with the chunking, the rest must not.
    let without_times = |line: &str| line.split(' ').filter(|word| !word.contains("..")).collect::<Vec<_>>().join(" ");
    let mut lines: Vec<_> = found
        .lines()
        .filter(|line| !line.starts_with("start"))
        .map(|line| without_times(line.rsplit_once(' ').unwrap().0) + "\n")
        .collect();
    lines.sort();
    lines.concat()
}

#[test]
fn every_chunking_gives_the_same_exchanges() {
    let expected = "POST /p 0 | 200 30 | Complete\nPOST /p 24 | 503 0 | Complete\n";
    assert_eq!(exchanges(|_, _| vec![]), expected);
    assert_eq!(exchanges(|_, bytes| vec![1; bytes.len() - 1]), expected);
    for (turn, (_, bytes)) in turns(&mut Wire::new()).iter().enumerate() {
        for split in 1..bytes.len() {
            assert_eq!(exchanges(|at, _| if at == turn { vec![split] } else { vec![] }), expected, "{turn} {split}");
        }
    }
}
