//! Rate, errors, durations and the heat map over time, in a bounded number of steps.

use std::collections::BTreeMap;

use redtape_core::metric::Quantiles;
use redtape_core::{Span, SpanKind, Status};
use serde::Serialize;

/// Steps of time there are at most; with more, each becomes wider.
const STEPS_MAX: u64 = 150;
/// Services whose steps are told apart, by side. The others are in the steps of all.
const SERVICES_MAX: usize = 30;

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLI;
/// How wide a step may be, in nanoseconds; each is a multiple of the one before. Beyond the last, doubled.
const WIDTHS: [u64; 16] = [
    MILLI,
    2 * MILLI,
    10 * MILLI,
    20 * MILLI,
    100 * MILLI,
    200 * MILLI,
    SECOND,
    2 * SECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
    120 * SECOND,
    600 * SECOND,
    1_800 * SECOND,
    3_600 * SECOND,
    86_400 * SECOND,
];

/// Counts spans into steps of the time of day at which they ended.
#[derive(Debug)]
pub(super) struct Timeline {
    width: u64,
    /// The earliest and the latest time that was counted.
    ends: Option<(u64, u64)>,
    /// All of one side, or those of one service.
    scopes: BTreeMap<Scope, BTreeMap<u64, Step>>,
    /// Services that are told apart.
    services: usize,
    left_out: bool,
}

/// What a line is about: a side, and its service unless it is of all.
type Scope = (SpanKind, Option<String>);

#[derive(Debug, Default)]
struct Step {
    errors: u64,
    incomplete: u64,
    duration: Quantiles,
}

/// The same for the page.
#[derive(Debug, Serialize)]
pub(super) struct Steps {
    /// The start of the first step, in milliseconds since 1970.
    start_ms: u64,
    width_ns: u64,
    steps: u64,
    /// Some services are only in what is of all.
    left_out: bool,
    scopes: Vec<ScopeSteps>,
}

/// One number a step; 0 where nothing ended.
#[derive(Debug, Serialize)]
struct ScopeSteps {
    kind: &'static str,
    service: Option<String>,
    count: Vec<u64>,
    errors: Vec<u64>,
    incomplete: Vec<u64>,
    p50: Vec<u64>,
    p95: Vec<u64>,
    p99: Vec<u64>,
    /// `[step, lower bound in nanoseconds, count]`, where there is any.
    heat: Vec<(u64, u64, u64)>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { width: MILLI, ends: None, scopes: BTreeMap::new(), services: 0, left_out: false }
    }
}

impl Timeline {
    /// Counts a span.
    pub(super) fn observe(&mut self, span: &Span) {
        let end = span.start_wall.unix_nanos().saturating_add(span.duration_nanos());
        self.widen(end);
        self.at((span.kind, None), end).observe(span);
        let scope = (span.kind, Some(span.service.name.to_string()));
        let known = self.scopes.contains_key(&scope);
        if known || self.services < SERVICES_MAX {
            self.services += usize::from(!known);
            self.at(scope, end).observe(span);
        } else {
            self.left_out = true;
        }
    }

    fn at(&mut self, scope: Scope, end: u64) -> &mut Step {
        self.scopes.entry(scope).or_default().entry(end / self.width).or_default()
    }

    /// Makes steps so wide that `end` is within one of the allowed number.
    fn widen(&mut self, end: u64) {
        let (earliest, latest) = self.ends.map_or((end, end), |(first, last)| (first.min(end), last.max(end)));
        self.ends = Some((earliest, latest));
        let fits = |width: u64| latest / width - earliest / width < STEPS_MAX;
        let before = self.width;
        while !fits(self.width) {
            let wider = WIDTHS.into_iter().find(|&width| width > self.width);
            self.width = wider.unwrap_or(self.width.saturating_mul(2));
        }
        if self.width == before {
            return;
        }
        for steps in self.scopes.values_mut() {
            let mut wide: BTreeMap<u64, Step> = BTreeMap::new();
            for (at, step) in std::mem::take(steps) {
                wide.entry(at * before / self.width).or_default().merge(&step);
            }
            *steps = wide;
        }
    }

    /// What the page shows.
    pub(super) fn steps(&self) -> Steps {
        let (first, last) = self.ends.map_or((0, 0), |(first, last)| (first / self.width, last / self.width));
        let steps = if self.ends.is_some() { last - first + 1 } else { 0 };
        let scope = |((kind, service), found): (&Scope, &BTreeMap<u64, Step>)| {
            let empty = Step::default();
            let each = |of: fn(&Step) -> u64| -> Vec<u64> {
                (first..first + steps).map(|at| of(found.get(&at).unwrap_or(&empty))).collect()
            };
            let heat =
                found.iter().flat_map(|(at, step)| step.heat().map(move |(low, count)| (at - first, low, count)));
            ScopeSteps {
                kind: kind.as_str(),
                service: service.clone(),
                count: each(|step| step.duration.count()),
                errors: each(|step| step.errors),
                incomplete: each(|step| step.incomplete),
                p50: each(|step| step.duration.quantile(500)),
                p95: each(|step| step.duration.quantile(950)),
                p99: each(|step| step.duration.quantile(990)),
                heat: heat.collect(),
            }
        };
        Steps {
            start_ms: first * self.width / MILLI,
            width_ns: self.width,
            steps,
            left_out: self.left_out,
            scopes: self.scopes.iter().map(scope).collect(),
        }
    }
}

impl Step {
    fn observe(&mut self, span: &Span) {
        if span.incomplete() {
            self.incomplete += 1;
            return;
        }
        self.errors += u64::from(span.status == Status::Error);
        self.duration.record(span.duration_nanos());
    }

    fn merge(&mut self, other: &Self) {
        self.errors += other.errors;
        self.incomplete += other.incomplete;
        self.duration.merge(&other.duration);
    }

    /// How many durations are in each of the heat map's rows, by the rows' lower bounds.
    fn heat(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut rows: BTreeMap<u64, u64> = BTreeMap::new();
        for (duration, count) in self.duration.counts() {
            *rows.entry(row(duration)).or_default() += count;
        }
        rows.into_iter()
    }
}

/// The largest of 1, 2 and 5 times a power of ten that is not above `duration`; 0 of 0.
fn row(duration: u64) -> u64 {
    let Some(power) = duration.checked_ilog10().map(|digits| 10_u64.pow(digits)) else { return 0 };
    match duration / power {
        5.. => 5 * power,
        2.. => 2 * power,
        _ => power,
    }
}

#[cfg(test)]
mod tests {
    use redtape_core::WallNanos;

    use super::*;
    use crate::report::tests::of_workload;

    #[test]
    fn rows_of_the_heat_map() {
        for (duration, low) in
            [(0, 0), (1, 1), (19, 10), (20, 20), (49, 20), (50, 50), (99, 50), (u64::MAX, 10_u64.pow(19))]
        {
            assert_eq!(row(duration), low, "{duration}");
        }
    }

    #[test]
    fn steps_are_few_however_long_a_tape_is_and_count_everything_once() {
        let spans = of_workload(300);
        let mut timeline = Timeline::default();
        // 50 seconds apart: some four hours.
        for (at, span) in (0..).zip(&spans) {
            let start_wall = WallNanos::new(span.start_wall.unix_nanos() + at * 50 * SECOND);
            timeline.observe(&Span { start_wall, ..span.clone() });
        }
        let steps = timeline.steps();
        assert!((STEPS_MAX / 6..=STEPS_MAX).contains(&steps.steps), "{}", steps.steps);
        assert_eq!(steps.scopes.len(), 2, "all, and the only service");
        for scope in &steps.scopes {
            assert_eq!(scope.count.iter().sum::<u64>(), 300);
            assert_eq!(scope.heat.iter().map(|(_, _, count)| count).sum::<u64>(), 300);
            assert_eq!(
                scope.errors.iter().sum::<u64>(),
                spans.iter().filter(|span| span.status == Status::Error).count() as u64
            );
        }
    }

    #[test]
    fn each_width_is_a_multiple_of_the_one_before() {
        assert!(WIDTHS.windows(2).all(|pair| pair[0] < pair[1] && pair[1].is_multiple_of(pair[0])));
    }
}
