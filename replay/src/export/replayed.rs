//! How what a replay exports differs from what was recorded: moved times, and ids and labels that tell replays apart.

use redtape_core::{IdHasher, Origin, SpanId, TraceId, WallNanos};

use super::shift::Shift;

/// The resource attribute, and with underscores the label, of a replay's run.
const RUN: &str = "redtape.replay.run";
/// The label of metrics that tells replays apart.
pub(crate) const RUN_LABEL: &str = "replay_run";
/// The resource attribute of when the tape started by its own clock.
const ORIGINAL_START: &str = "redtape.replay.original_start";
/// The resource attribute of how far times were moved.
const SHIFT: &str = "redtape.replay.shift";

/// Moves times, and makes ids of a run's own.
///
/// Where times stay and no run is named, everything stays as recorded. Else there is a run: the one that was named, or
/// the moment to which the tape's start was moved. So the same shift gives the same ids, and a back end that gets
/// something twice knows it for the same; another shift gives others, since the same ids at two times would be nonsense.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replayed {
    shift: Shift,
    run: Option<Run>,
    original_start: WallNanos,
}

/// One replay of a tape among others.
#[derive(Clone, Debug)]
struct Run {
    id: String,
    trace: [u8; 16],
    span: [u8; 8],
}

impl Replayed {
    /// A replay of tapes that started at `original_start`, moved by `shift`, as the run of this name.
    pub(crate) fn new(original_start: WallNanos, shift: Shift, run: Option<&str>) -> Self {
        let moved = || moment(shift.apply(original_start));
        let id = run.map(str::to_owned).or_else(|| (shift != Shift::default()).then(moved));
        Self { shift, run: id.map(Run::new), original_start }
    }

    /// `time`, moved.
    pub(crate) const fn time(&self, time: WallNanos) -> WallNanos {
        self.shift.apply(time)
    }

    /// The run's name, if it is one among others: what the label `replay_run` of metrics says.
    pub(crate) fn run(&self) -> Option<&str> {
        self.run.as_ref().map(|run| run.id.as_str())
    }

    /// A trace's id, as exported.
    pub(crate) fn trace_id(&self, id: TraceId) -> TraceId {
        self.run.as_ref().map_or(id, |run| TraceId(salted(id.0, run.trace)))
    }

    /// A span's id, as exported.
    pub(crate) fn span_id(&self, id: SpanId) -> SpanId {
        self.run.as_ref().map_or(id, |run| SpanId(salted(id.0, run.span)))
    }

    /// What resources say of it, sorted by key; nothing where everything is as recorded.
    pub(crate) fn attributes(&self) -> Vec<(&'static str, String)> {
        let Some(run) = &self.run else { return Vec::new() };
        let nanos = self.shift.nanos();
        let (sign, nanos) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
        let shift = format!("{sign}{}.{:09}s", nanos / 1_000_000_000, nanos % 1_000_000_000);
        vec![(ORIGINAL_START, moment(self.original_start)), (RUN, run.id.clone()), (SHIFT, shift)]
    }
}

impl Run {
    fn new(id: String) -> Self {
        let start = IdHasher::new(Origin::default(), id.len() as u64);
        let hash = id.bytes().fold(start, |hash, byte| hash.with(byte.into()));
        Self { id, trace: hash.trace_id().0, span: hash.span_id().0 }
    }
}

/// The two, mixed: no two ids become one. No id is all zero, so the one that would be stays as it is.
fn salted<const N: usize>(id: [u8; N], salt: [u8; N]) -> [u8; N] {
    let mut mixed = id;
    mixed.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
    if mixed == [0; N] { id } else { mixed }
}

/// A moment as RFC 3339 writes it, to the nanosecond.
fn moment(time: WallNanos) -> String {
    let nanos = time.unix_nanos();
    jiff::Timestamp::from_nanosecond(nanos.into()).map_or_else(|_| nanos.to_string(), |moment| format!("{moment:.9}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: WallNanos = WallNanos::new(1_000_000_000);
    const TRACE: TraceId = TraceId([1; 16]);
    const SPAN: SpanId = SpanId([2; 8]);

    fn moved(seconds: u64, run: Option<&str>) -> Replayed {
        Replayed::new(START, Shift::between(START, WallNanos::new(seconds * 1_000_000_000)), run)
    }

    #[test]
    fn what_is_not_moved_stays_as_it_is() {
        let replayed = moved(1, None);
        assert_eq!((replayed.trace_id(TRACE), replayed.span_id(SPAN)), (TRACE, SPAN));
        assert_eq!((replayed.time(START), replayed.run()), (START, None));
        assert!(replayed.attributes().is_empty());
    }

    #[test]
    fn ids_are_those_of_the_run() {
        let ids = |replayed: Replayed| (replayed.trace_id(TRACE), replayed.span_id(SPAN));
        assert_eq!(ids(moved(60, None)), ids(moved(60, None)));
        let different = [moved(1, None), moved(60, None), moved(61, None), moved(60, Some("a")), moved(60, Some("b"))];
        for (at, one) in different.iter().enumerate() {
            for other in different.iter().skip(at + 1) {
                assert_ne!(ids(one.clone()), ids(other.clone()), "{:?} {:?}", one.run(), other.run());
            }
        }
        // The run's name alone decides: what has been told twice under one name is the same.
        assert_eq!(ids(moved(60, Some("a"))), ids(moved(61, Some("a"))));
    }

    #[test]
    fn resources_say_what_was_done() {
        let text = |replayed: Replayed| {
            replayed.attributes().iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            text(moved(61, None)),
            "redtape.replay.original_start=1970-01-01T00:00:01.000000000Z \
             redtape.replay.run=1970-01-01T00:01:01.000000000Z redtape.replay.shift=60.000000000s"
        );
        assert_eq!(
            text(moved(0, Some("x"))),
            "redtape.replay.original_start=1970-01-01T00:00:01.000000000Z redtape.replay.run=x redtape.replay.shift=-1.000000000s"
        );
    }

    #[test]
    fn no_id_becomes_zero() {
        assert_eq!(salted([7; 8], [7; 8]), [7; 8]);
        assert_eq!(salted([7; 8], [6; 8]), [1; 8]);
    }
}
