//! Any calls on one connection: each event comes out of redaction, in order, with its place and length; and any expression.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redtape_core::edit::{Expr, RedactPolicy, Redactor};
use redtape_core::{Body, Data, DataFlags, Direction, Event, EventBuf, MonoNanos, Ranges, Role, Source, Stamp};
use redtape_fuzz::{connection, event};

// The input is a sequence of calls, as for `http1`.
fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = Expr::parse(text);
    }
    let Some((&[mode], mut rest)) = input.split_first_chunk::<1>() else { return };
    let mut redactor = Redactor::new(&RedactPolicy::default(), None).expect("the default policy is right");
    let role = [Role::Unknown, Role::Client, Role::Server][usize::from(mode % 3)];
    let info = connection(role, mode & 0x80 != 0);
    let conn = info.key;
    let (mut now, mut next, mut pushed) = (0u64, [0u64; 2], Vec::new());
    let mut push = |redactor: &mut Redactor, event: Event<'_>| {
        redactor.push(&event);
        pushed.push(shape(&event.into()));
    };
    push(&mut redactor, event(0, Body::Connection(&info)));
    while let Some((&[what, count, jump, hole], after)) = rest.split_first_chunk::<4>() {
        let (bytes, after) = after.split_at(usize::from(count).min(after.len()));
        rest = after;
        now += u64::from(what >> 4) * 1_000_000_000;
        let direction = if what & 1 == 0 { Direction::In } else { Direction::Out };
        let pos = next[direction as usize].saturating_add_signed(i64::from(jump.cast_signed()));
        let len = bytes.len() as u64 + u64::from(hole);
        let at = MonoNanos::new(now);
        let stamp = Stamp { entry: at, exit: at, flags: DataFlags(u16::from(what & 2)), ..Stamp::default() };
        let (process, source, ranges) = (info.process, Source::Read, Ranges::prefix(bytes));
        let body = match what & 12 {
            12 => Body::Close { conn },
            _ => Body::Data(Data { conn, process, stamp, direction, source, pos, len, arrived: None, ranges }),
        };
        if matches!(body, Body::Data(_)) {
            next[direction as usize] = pos.saturating_add(len);
        }
        push(&mut redactor, event(now, body));
    }
    redactor.finish();
    let out: Vec<_> = std::iter::from_fn(|| redactor.poll()).map(|redacted| shape(&redacted.event)).collect();
    assert_eq!(out, pushed);
});

/// All of an event but the bytes of its payload.
fn shape(event: &EventBuf) -> String {
    match event.as_event().body {
        Body::Data(data) => {
            let pieces: Vec<_> = data.ranges.iter().map(|(offset, bytes)| (offset, bytes.len())).collect();
            format!("{:?} {:?} {pieces:?}", event.time, Data { ranges: Ranges::EMPTY, ..data })
        }
        body => format!("{:?} {body:?}", event.time),
    }
}
