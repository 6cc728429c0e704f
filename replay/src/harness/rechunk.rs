//! Splits the calls of a recording into calls of so many bytes.

use redtape_core::{BodyBuf, Data, EventBuf, RangesBuf};

/// Splits each call that moves bytes into calls of `bytes` bytes at most, with the same stamp. What was not captured of a call stays in one piece, so that
/// there are no more calls than captured bytes.
pub(super) fn rechunk(events: &[EventBuf], bytes: usize) -> Vec<EventBuf> {
    let mut out = Vec::with_capacity(events.len() * 2);
    for event in events {
        let BodyBuf::Data(data, payload) = &event.body else {
            out.push(event.clone());
            continue;
        };
        let mut push = |from: u64, to: u64, captured: &[u8]| {
            let part = Data { pos: data.pos + from, len: to - from, ..*data };
            out.push(EventBuf { body: BodyBuf::Data(part, RangesBuf::prefix(captured)), ..event.clone() });
        };
        let mut at = 0;
        for (offset, piece) in payload.as_ranges().iter() {
            if offset > at {
                push(at, offset, &[]);
            }
            at = offset;
            for chunk in piece.chunks(bytes.max(1)) {
                let end = at + chunk.len() as u64;
                push(at, end, chunk);
                at = end;
            }
        }
        if at < data.len || data.len == 0 {
            push(at, data.len, &[]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use redtape_core::MonoNanos;
    use redtape_core::synth::Scenario;

    use super::*;

    #[test]
    fn every_captured_byte_is_a_call_and_no_byte_is_lost() {
        let mut scenario = Scenario::named("greetings").unwrap();
        scenario.requests = Some(20);
        let events: Vec<_> = scenario.events().collect();
        // The bytes that moved, and those that are there: when, where, and which.
        let moved = |events: &[EventBuf]| {
            let mut lens = std::collections::BTreeMap::<_, u64>::new();
            let mut bytes = Vec::new();
            for event in events {
                let BodyBuf::Data(data, payload) = &event.body else { continue };
                *lens.entry((data.conn, data.direction as u8)).or_default() += data.len;
                for (offset, piece) in payload.as_ranges().iter() {
                    let at = |(number, byte): (usize, &u8)| {
                        (event.time, data.conn, data.direction as u8, data.pos + offset + number as u64, *byte)
                    };
                    bytes.extend(piece.iter().enumerate().map(at));
                }
            }
            (lens, bytes)
        };
        let split = rechunk(&events, 1);
        assert_eq!(moved(&split), moved(&events));
        assert!(moved(&events).1.len() > 1000 && events.iter().all(|event| event.time > MonoNanos::ZERO));
        let mut captured = 0;
        for event in &split {
            if let BodyBuf::Data(data, payload) = &event.body {
                let here: usize = payload.as_ranges().iter().map(|(_, piece)| piece.len()).sum();
                assert!(here == 0 || (here == 1 && data.len == 1), "{data:?}");
                captured += here;
            }
        }
        assert_eq!(captured, moved(&events).1.len());
    }
}
