//! Reassembly by example, and by its properties.

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;

/// What comes out of a flow, in words.
#[derive(Default)]
struct Log(Vec<String>);

impl Log {
    fn note(&mut self, ordered: Ordered<'_>) {
        self.0.push(match ordered {
            Ordered::Bytes { time, from, pos, payload, len } => {
                let text = String::from_utf8_lossy(payload);
                let cut = if payload.len() as u64 == len { String::new() } else { format!("/{len}") };
                format!("{}ms {from}@{pos} {text}{cut}", time / MS)
            }
            Ordered::Hole { time, from, missing } => format!("{}ms {from} lacks {missing}", time / MS),
            Ordered::End { time, from, pos } => format!("{}ms {from} ends at {pos}", time / MS),
            Ordered::Again => "again".into(),
        });
    }
}

/// A piece at a time in milliseconds, from an end, at a position, that acknowledges so much.
fn piece(at: u64, from: usize, pos: u64, text: &'static str, ack: u64) -> Piece<'static> {
    let len = text.trim_end_matches('.').len() as u64;
    Piece {
        time: at * MS,
        taken: at * MS,
        from,
        pos,
        payload: &text.as_bytes()[..len as usize],
        len,
        fin: text.ends_with('.'),
        ack: Some(ack),
    }
}

#[track_caller]
fn check(pieces: &[Piece<'_>], expected: &[&str]) {
    let (mut flow, mut log) = (Flow::default(), Log::default());
    for piece in pieces {
        flow.streams[piece.from].seen = true;
        let other = &mut flow.streams[1 - piece.from];
        other.acked = other.acked.max(piece.ack.unwrap_or_default());
        flow.expire(piece.time, &mut |ordered| log.note(ordered));
        flow.take(*piece, &mut |ordered| log.note(ordered));
    }
    flow.give_up(&mut |ordered| log.note(ordered));
    assert_eq!(log.0, expected);
}

#[test]
fn segments_come_out_in_order_and_once() {
    check(&[piece(0, 0, 0, "ab", 0), piece(1, 0, 2, "cd", 0)], &["0ms 0@0 ab", "1ms 0@2 cd"]);
    check(&[piece(0, 0, 2, "cd", 0), piece(1, 0, 0, "ab", 0)], &["1ms 0@0 ab", "1ms 0@2 cd"]);
    check(&[piece(0, 0, 0, "ab", 0), piece(1, 0, 0, "ab", 0)], &["0ms 0@0 ab", "again"]);
    check(&[piece(0, 0, 0, "ab", 0), piece(1, 0, 0, "abcd", 0)], &["0ms 0@0 ab", "again", "1ms 0@2 cd"]);
    check(
        &[piece(0, 0, 4, "ef", 0), piece(1, 0, 4, "ef", 0), piece(2, 0, 0, "abcd", 0)],
        &["again", "2ms 0@0 abcd", "2ms 0@4 ef"],
    );
}

#[test]
fn a_wrong_time_is_that_of_its_own_segment_alone() {
    let far = 9_000_000_000;
    check(
        &[piece(5, 0, 0, "ab", 0), piece(4, 0, 2, "cd", 0), piece(far, 0, 4, "ef", 0), piece(7, 0, 6, "gh", 0)],
        &["5ms 0@0 ab", "5ms 0@2 cd", "9000000000ms 0@4 ef", "7ms 0@6 gh"],
    );
}

#[test]
fn the_first_copy_of_bytes_counts() {
    let late = [piece(0, 0, 4, "EF", 0), piece(1, 0, 2, "cdefgh", 0), piece(2, 0, 0, "ab", 0)];
    check(&late, &["2ms 0@0 ab", "2ms 0@2 cd", "2ms 0@4 EF", "2ms 0@6 gh"]);
    check(&[piece(0, 0, 0, "abc", 0), piece(1, 0, 1, "BCD", 0)], &["0ms 0@0 abc", "again", "1ms 0@3 D"]);
}

#[test]
fn what_only_the_capture_lacks_is_given_up_soon() {
    // The response acknowledges the request's end, which never comes.
    let lost = [piece(0, 0, 0, "req", 0), piece(5, 1, 0, "resp", 6), piece(60, 0, 6, "next", 4)];
    check(&lost, &["0ms 0@0 req", "5ms 0 lacks 3", "5ms 1@0 resp", "60ms 0@6 next"]);
    let swapped = [piece(0, 0, 0, "req", 0), piece(5, 1, 0, "resp", 6), piece(6, 0, 3, "end", 0)];
    check(&swapped, &["0ms 0@0 req", "6ms 0@3 end", "6ms 1@0 resp"]);
}

#[test]
fn what_the_receiver_lacks_is_waited_for() {
    let again = [piece(0, 0, 3, "def", 0), piece(1000, 0, 0, "abc", 0)];
    check(&again, &["1000ms 0@0 abc", "1000ms 0@3 def"]);
    let never = [piece(0, 0, 3, "def", 0), piece(61_000, 0, 6, "ghi", 0)];
    check(&never, &["0ms 0 lacks 3", "0ms 0@3 def", "61000ms 0@6 ghi"]);
}

#[test]
fn a_direction_ends_behind_its_last_byte() {
    check(&[piece(0, 0, 0, "ab.", 0), piece(1, 1, 0, ".", 2)], &["0ms 0@0 ab", "0ms 0 ends at 2", "1ms 1 ends at 0"]);
    check(&[piece(0, 0, 2, ".", 0), piece(1, 0, 0, "ab", 0)], &["1ms 0@0 ab", "1ms 0 ends at 2"]);
    check(
        &[piece(0, 0, 0, "ab.", 0), piece(1, 0, 0, "ab.", 0), piece(2, 0, 2, "cd", 0)],
        &["0ms 0@0 ab", "0ms 0 ends at 2", "again", "again"],
    );
}

#[test]
fn what_is_held_is_bounded() {
    let (mut flow, mut holes) = (Flow::default(), 0);
    let payload = vec![7; 64 << 10];
    for n in 0..2000 {
        let pos = 1 + n * ((64 << 10) + 1);
        let piece = Piece { time: 0, taken: 0, from: 0, pos, payload: &payload, len: 64 << 10, fin: false, ack: None };
        flow.take(piece, &mut |ordered| holes += u64::from(matches!(ordered, Ordered::Hole { .. })));
        assert!(flow.held_bytes() <= HELD_BYTES && flow.held.len() <= HELD_SEGMENTS);
    }
    assert!(holes > 1900);
}

/// The bytes of both directions, as they are put together from what comes out.
fn put_together(pieces: &[Piece<'_>]) -> [Vec<u8>; 2] {
    let (mut flow, mut streams) = (Flow::default(), [Vec::new(), Vec::new()]);
    let mut take = |ordered: Ordered<'_>| match ordered {
        Ordered::Bytes { from, pos, payload, len, .. } => {
            let stream: &mut Vec<u8> = &mut streams[from];
            assert!(stream.len() as u64 <= pos, "in order");
            assert_eq!(payload.len() as u64, len);
            stream.resize(pos as usize, b'?');
            stream.extend_from_slice(payload);
        }
        Ordered::Hole { .. } | Ordered::Again | Ordered::End { .. } => {}
    };
    for piece in pieces {
        flow.streams[piece.from].seen = true;
        flow.expire(piece.time, &mut take);
        flow.take(*piece, &mut take);
    }
    flow.give_up(&mut take);
    assert_eq!((flow.held_bytes(), flow.held.len()), (0, 0));
    streams
}

proptest! {
    /// Shuffled within the window, doubled, overlapping: the same streams.
    #[test]
    fn any_order_gives_the_same_streams(
        streams in [proptest::collection::vec(any::<u8>(), 0..300), proptest::collection::vec(any::<u8>(), 0..300)],
        cuts in proptest::collection::vec((0..2_usize, 0..300_usize, 1..60_usize, any::<u16>()), 0..60),
        order in any::<u64>(),
    ) {
        // Overlapping pieces at will, and then pieces that cover all.
        let mut pieces: Vec<(u64, Piece<'_>)> = Vec::new();
        let mut add = |from: usize, start: usize, len: usize, key: u64| {
            let stream = &streams[from];
            let (start, end) = (start.min(stream.len()), (start + len).min(stream.len()));
            let payload = &stream[start..end];
            let piece = Piece { time: 0, taken: 0, from, pos: start as u64, payload, len: payload.len() as u64, fin: false, ack: None };
            pieces.push((key, piece));
        };
        for (from, start, len, key) in cuts {
            add(from, start, len, key.into());
        }
        for (from, stream) in streams.iter().enumerate() {
            for start in (0..stream.len()).step_by(37) {
                add(from, start, 37, (order ^ start as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48);
            }
        }
        pieces.sort_by_key(|(key, _)| *key);
        let pieces: Vec<_> = pieces.into_iter().map(|(_, piece)| piece).collect();
        prop_assert_eq!(put_together(&pieces), streams);
    }

    /// Whatever comes: no panic, in order, nothing twice, nothing left, bounded.
    #[test]
    fn anything_can_come(pieces in proptest::collection::vec(
        (0..2_usize, 0..500_u64, 0..90_usize, any::<bool>(), proptest::option::of(0..600_u64), 0..200_u64), 0..80,
    )) {
        let bytes = [5; 90];
        let mut time = 0;
        let pieces: Vec<_> = pieces.into_iter().map(|(from, pos, len, fin, ack, later)| {
            time += later * MS;
            Piece { time, taken: time, from, pos, payload: &bytes[..len], len: len as u64, fin, ack }
        }).collect();
        let streams = put_together(&pieces);
        prop_assert!(streams.iter().all(|stream| stream.len() <= 600));
    }
}
