//! Why a path has its route: for each segment the rule, the pattern or the class that decided.

use std::fmt;

use super::class::Class;
use super::decorator::{Decorator, RouteDecision, RouteRule};
use super::heuristic::{Judged, MAX_SEGMENTS};
use super::path::without_query;
use super::tree::Step;
use crate::config::Unmatched;
use crate::span::SpanKind;

/// Why a path has its route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The decision.
    pub decision: RouteDecision,
    /// The pattern of `ignored_patterns` that the path matches.
    pub ignored_by: Option<String>,
    /// What became of each segment; empty where the path was not looked at by segments.
    pub segments: Vec<SegmentExplanation>,
}

/// What became of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentExplanation {
    /// As it stands in the path; decoded where the heuristics judged it.
    pub segment: String,
    /// As it stands in the route.
    pub output: String,
    /// Why.
    pub reason: SegmentReason,
}

/// Why a segment became what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SegmentReason {
    /// A pattern says so.
    Pattern,
    /// Its shape.
    Shape(Class),
    /// It is no known word and follows the name of a collection.
    InCollection,
    /// It is no known word, no plural, and follows a value.
    AfterValue,
    /// The service's other paths show that it is a name.
    LearnedName(Class),
    /// The service's other paths show that values stand at this place.
    LearnedValue {
        /// Unknown words seen at this place.
        unknown: usize,
        /// Known words seen at this place.
        known: usize,
    },
    /// Nothing is known yet about this place.
    NotLearned,
    /// It is beyond the last segment that a route may have.
    TooDeep,
}

impl fmt::Display for SegmentReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern => f.write_str("pattern"),
            Self::Shape(class) => write!(f, "shape: {class}"),
            Self::InCollection => f.write_str("unknown word after the name of a collection"),
            Self::AfterValue => f.write_str("unknown word after a value"),
            Self::LearnedName(class) => write!(f, "learned: a name ({class})"),
            Self::LearnedValue { unknown, known } => {
                write!(f, "learned: values stand here ({unknown} unknown words and {known} known ones seen)")
            }
            Self::NotLearned => f.write_str("nothing learned about this place"),
            Self::TooDeep => write!(f, "beyond {MAX_SEGMENTS} segments"),
        }
    }
}

impl Decorator {
    /// The decision about a request as [`decorate`](Self::decorate) gives it, with its reasons.
    pub fn explain(&mut self, service: &str, kind: SpanKind, method: &str, target: &str) -> Explanation {
        let decision = self.decorate(service, kind, method, target);
        let ignored_by = self.ignored_by(target).map(str::to_owned);
        let segments = match decision.rule {
            RouteRule::Pattern | RouteRule::ServicePattern => by_pattern(target, &decision.route),
            RouteRule::Heuristic | RouteRule::LowCardinality => self.by_segments(service, kind, target),
            RouteRule::Unset | RouteRule::Path | RouteRule::Wildcard => Vec::new(),
        };
        Explanation { decision, ignored_by, segments }
    }

    fn by_segments(&mut self, service: &str, kind: SpanKind, target: &str) -> Vec<SegmentExplanation> {
        let number = self.known_number(service, kind).filter(|_| self.unmatched == Unmatched::LowCardinality);
        let mut at = number.map(|_| 0);
        let wildcard = self.judge.wildcard;
        let mut explained = Vec::new();
        for (index, judged) in self.judge.path(target).enumerate() {
            let mut output = String::new();
            let step = number.zip(at).and_then(|(number, at)| self.learned.step(number, at, &judged));
            let reason = match (index == MAX_SEGMENTS || (number.is_some() && at.is_none()), &step) {
                (true, _) => {
                    output.extend(['/', wildcard, wildcard]);
                    SegmentReason::TooDeep
                }
                (false, Some(step)) => {
                    step.write(wildcard, &mut output);
                    learned_reason(step, &judged)
                }
                (false, None) => {
                    judged.write(judged.is_value(), wildcard, &mut output);
                    if number.is_some() { SegmentReason::NotLearned } else { reason(&judged) }
                }
            };
            at = step.and_then(|step| step.next());
            let output = output.trim_start_matches('/').to_owned();
            explained.push(SegmentExplanation { segment: judged.text.into_owned(), output, reason });
            if reason == SegmentReason::TooDeep {
                break;
            }
        }
        explained
    }
}

fn reason(judged: &Judged<'_>) -> SegmentReason {
    match judged.class {
        Class::UnknownWord if judged.in_collection => SegmentReason::InCollection,
        Class::UnknownWord if judged.is_value() => SegmentReason::AfterValue,
        class => SegmentReason::Shape(class),
    }
}

fn learned_reason(step: &Step<'_>, judged: &Judged<'_>) -> SegmentReason {
    match step {
        Step::Name(..) => SegmentReason::LearnedName(judged.class),
        Step::Value(_) => SegmentReason::Shape(judged.class),
        Step::Word(_, place) => SegmentReason::LearnedValue { unknown: place.unknown, known: place.known },
    }
}

fn by_pattern(target: &str, route: &str) -> Vec<SegmentExplanation> {
    let path = without_query(target).trim_matches('/');
    let mut outputs = route.trim_matches('/').split('/');
    let mut last = "";
    let explain = |segment: &str| {
        // What a catch-all takes all has its text.
        last = outputs.next().unwrap_or(last);
        SegmentExplanation { segment: segment.to_owned(), output: last.to_owned(), reason: SegmentReason::Pattern }
    };
    path.split('/').map(explain).collect()
}
