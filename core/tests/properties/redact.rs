//! Properties of redaction (I18): what is masked is gone, and everything else is as it was.

use std::collections::BTreeMap;

use proptest::prelude::*;
use redtape_core::edit::{PathPolicy, RedactPolicy, Redactor, Treatment, ValuePolicy};
use redtape_core::synth::{CapturePolicy, Scenario, transform};
use redtape_core::{Body, BodyBuf, ConnKey, Direction, EventBuf, Limits};

use crate::generate::{EVERYTHING, config, scenarios, with_lures};
use crate::oracle::stage1;

fn redact(events: &[EventBuf], policy: &RedactPolicy) -> Vec<EventBuf> {
    let mut redactor = Redactor::new(policy, None).expect("the policy is right");
    let mut out = Vec::new();
    for event in events {
        redactor.push(&event.as_event());
        out.extend(std::iter::from_fn(|| redactor.poll()).map(|redacted| redacted.event));
    }
    redactor.finish();
    out.extend(std::iter::from_fn(|| redactor.poll()).map(|redacted| redacted.event));
    assert_eq!(out.len(), events.len(), "each event comes out");
    out
}

/// Masks what no span shows.
fn unseen() -> RedactPolicy {
    let query = ValuePolicy { values: Treatment::Keep, ..ValuePolicy::default() };
    RedactPolicy { query, paths: PathPolicy::default(), ..RedactPolicy::default().in_full() }
}

/// The same events but for payload: everything has its place and length.
fn shape(events: &[EventBuf]) -> Vec<String> {
    let line = |event: &EventBuf| match &event.body {
        BodyBuf::Data(data, payload) => {
            let pieces: Vec<_> = payload.as_ranges().iter().map(|(at, bytes)| (at, bytes.len())).collect();
            format!("{} {data:?} {pieces:?}", event.time.nanos())
        }
        BodyBuf::Process(_) => String::new(),
        body => format!("{} {body:?}", event.time.nanos()),
    };
    events.iter().map(line).collect()
}

/// What was captured of each stream, in order.
fn streams(events: &[EventBuf]) -> BTreeMap<(ConnKey, Direction), Vec<u8>> {
    let mut streams: BTreeMap<_, Vec<u8>> = BTreeMap::new();
    for event in events {
        if let Body::Data(data) = event.as_event().body {
            let stream = streams.entry((data.conn, data.direction)).or_default();
            data.ranges.iter().for_each(|(_, bytes)| stream.extend_from_slice(bytes));
        }
    }
    streams
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn all_holds(events: &[EventBuf], original: &[EventBuf]) -> Result<(), TestCaseError> {
    let policy = unseen();
    let redacted = redact(events, &policy);
    same(&shape(&redacted), &shape(events))?;
    // Twice is once.
    same(&lines(&redact(&redacted, &policy)), &lines(&redacted))?;
    // The values of the generator's cookies, and its bodies.
    for (key, stream) in streams(&redacted) {
        let cookies = stream.windows(9).filter(|window| window.starts_with(b"session="));
        for cookie in cookies {
            prop_assert!(!cookie[8].is_ascii_hexdigit(), "a cookie in {key:?}");
        }
        for secret in ["lorem", "ipsum", "consectetur", "\"items\"", "198.51.100.7, 203.0.113.9 "] {
            prop_assert!(!holds(&stream, secret), "{secret} in {key:?}: {}", stream.escape_ascii());
        }
    }
    let limits = Limits::default();
    let (before, after) = (stage1(original, &limits), stage1(&redacted, &limits));
    same(&before.lines(), &after.lines())?;
    prop_assert_eq!(before.diagnostics, after.diagnostics);
    Ok(())
}

fn lines(events: &[EventBuf]) -> Vec<String> {
    let line = |event: &EventBuf| match event.as_event().body {
        Body::Data(data) => {
            let pieces: Vec<_> = data.ranges.iter().map(|(at, bytes)| (at, bytes.escape_ascii().to_string())).collect();
            format!("{:?} {} {} {pieces:?}", data.direction, data.pos, data.len)
        }
        body => format!("{body:?}"),
    };
    events.iter().map(line).collect()
}

/// Shows the first line that differs.
fn same(one: &[String], other: &[String]) -> Result<(), TestCaseError> {
    let differs = one.iter().zip(other).position(|(one, other)| one != other);
    if let Some(at) = differs {
        return Err(TestCaseError::fail(format!("number {at}:\n{}\n{}", one[at], other[at])));
    }
    prop_assert_eq!(one.len(), other.len());
    Ok(())
}

fn events(scenario: &Scenario) -> Vec<EventBuf> {
    scenario.events().collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_redacted_tape_says_the_same(scenario in scenarios(CapturePolicy::default())) {
        let events = events(&scenario);
        all_holds(&events, &events)?;
    }

    #[test]
    fn bodies_that_look_like_messages_are_masked(scenario in scenarios(EVERYTHING)) {
        let events = events(&with_lures(scenario));
        let redacted = redact(&events, &unseen());
        for (key, stream) in streams(&redacted) {
            prop_assert!(!holds(&stream, "hantom"), "{key:?}: {}", stream.escape_ascii());
        }
        all_holds(&events, &events)?;
    }

    #[test]
    fn heads_may_come_in_pieces(scenario in scenarios(CapturePolicy::default()), seed: u64) {
        let events = transform::rechunk(&events(&scenario), seed);
        all_holds(&events, &events)?;
    }

    #[test]
    fn tls_is_redacted_too(scenario in scenarios(CapturePolicy::default())) {
        let events = transform::over_tls(&events(&scenario));
        all_holds(&events, &events)?;
    }

    /// Where records are missing, more may be masked; doing it again changes nothing.
    #[test]
    fn what_is_left_of_a_tape_is_redacted_once(scenario in scenarios(CapturePolicy::default()), seed: u64, rate in 1_u32..300) {
        let (lossy, _) = transform::drop_data(&events(&scenario), rate, seed);
        for events in [
            transform::start_at(&lossy, lossy.len() / 3),
            transform::truncate_payloads(&lossy, u64::from(rate)),
            transform::duplicate(&lossy, rate, seed),
            lossy,
        ] {
            let policy = unseen();
            let redacted = redact(&events, &policy);
            same(&shape(&redacted), &shape(&events))?;
            same(&lines(&redact(&redacted, &policy)), &lines(&redacted))?;
        }
    }

    /// Whatever the events say, each comes out with its place and length; of damaged ones, twice is once, too.
    #[test]
    fn events_in_disorder_and_damaged_come_out_in_their_shape(scenario in scenarios(CapturePolicy::default()), seed: u64, rate in 1_u32..300) {
        let events = events(&scenario);
        let shuffled = transform::shuffle(&events, 40_000_000, seed);
        same(&shape(&redact(&shuffled, &unseen())), &shape(&shuffled))?;
        for events in [transform::corrupt(&events, rate, seed), transform::delay(&events, rate, 100_000_000, seed)] {
            let redacted = redact(&events, &unseen());
            same(&shape(&redacted), &shape(&events))?;
            same(&lines(&redact(&redacted, &unseen())), &lines(&redacted))?;
        }
    }
}
