//! The expectations of a spec.

use std::collections::BTreeMap;
use std::path::PathBuf;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use super::condition::{Condition, regex_message};
use super::operand::{Any, Count, Length};
use super::sample::Sample;

/// What is expected of a replay. Without any expectation a spec is an error.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// The exit code of `redtape replay` on this input, if it is to fail: 2, 3 or 4.
    #[schemars(range(min = 0, max = 4))]
    pub(crate) exit: Option<u8>,
    /// What the failure says: a regular expression. Only with `exit`.
    pub(crate) message: Option<Pattern>,
    /// Counts of what went in and out.
    pub(crate) summary: Option<SummaryExpect>,
    /// Spans.
    pub(crate) spans: Option<SpansExpect>,
    /// Metrics; several blocks for several moments.
    pub(crate) metrics: Option<OneOrMany<MetricsExpect>>,
    /// Budgets of series.
    pub(crate) cardinality: Option<CardinalityExpect>,
    /// Paths and their routes, by the decorator of the configuration alone; several tables for several settings.
    pub(crate) routes: Option<OneOrMany<RoutesExpect>>,
    /// What must never be exported.
    pub(crate) redaction: Option<RedactionExpect>,
}

/// One thing, or a list of them.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum OneOrMany<T> {
    /// One.
    One(T),
    /// Any number.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// All of them, each with what its path has behind the key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (String, &T)> {
        let (one, many) = match self {
            Self::One(one) => (Some(one), &[][..]),
            Self::Many(many) => (None, many.as_slice()),
        };
        let many = many.iter().enumerate().map(|(at, entry)| (format!("[{at}]"), entry));
        one.into_iter().map(|one| (String::new(), one)).chain(many)
    }
}

/// Counts of what went in and out, as `redtape replay` and `redtape info` tell them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SummaryExpect {
    /// Events. Only of the input as it is, not of mutated ones.
    pub(crate) events: Option<Condition<Count>>,
    /// From the first event to the last. Only of the input as it is.
    pub(crate) duration: Option<Condition<Length>>,
    /// Recorded ends of connections that any event is about. Only of the input as it is.
    pub(crate) connections: Option<Condition<Count>>,
    /// Those of them that are not closed at the end. Only of the input as it is.
    pub(crate) open_connections: Option<Condition<Count>>,
    /// Events that came later than the recorder's reorder window. Only of the input as it is.
    pub(crate) late: Option<Condition<Count>>,
    /// Records that the recorder lost.
    pub(crate) lost: Option<Condition<Count>>,
    /// Spans.
    pub(crate) spans: Option<Condition<Count>>,
    /// Spans of which only a part is known.
    pub(crate) incomplete: Option<Condition<Count>>,
    /// Spans with status `error`.
    pub(crate) errors: Option<Condition<Count>>,
    /// What made no sense, by the names of `redtape_diagnostics_total`; all that are not named have to be 0.
    pub(crate) diagnostics: Option<BTreeMap<String, Condition<Count>>>,
    /// Whether the end of a tape is missing.
    pub(crate) truncated: Option<bool>,
    /// Blocks that are damaged.
    pub(crate) corrupt_blocks: Option<Condition<Count>>,
    /// Blocks that are missing by their numbers.
    pub(crate) missing_blocks: Option<Condition<Count>>,
    /// Files that are missing of rotated sets.
    pub(crate) missing_files: Option<Condition<Count>>,
    /// Bytes that could not be read.
    pub(crate) skipped_bytes: Option<Condition<Count>>,
    /// Events that were recorded and are missing.
    pub(crate) missing_events: Option<Condition<Count>>,
    /// Blocks and events of newer versions, which were left out.
    pub(crate) unknown: Option<Condition<Count>>,
}

/// Conditions on a span: of a key of `--spans json`, an attribute, or `resource.` and an attribute of the resource.
pub(crate) type Where = BTreeMap<String, Condition<Any>>;

/// What is expected of spans.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpansExpect {
    /// How many there are of servers and clients.
    pub(crate) count: Option<Condition<Count>>,
    /// How many say something that is not so. Only of synthetic traffic, whose truth is known.
    pub(crate) wrong: Option<Condition<Count>>,
    /// How many there are not, of exchanges that took place. Only of synthetic traffic.
    pub(crate) missing: Option<Condition<Count>>,
    /// Spans that there have to be.
    #[serde(default, rename = "match")]
    pub(crate) matches: Vec<Match>,
    /// Spans that there must not be.
    #[serde(default)]
    pub(crate) none: Vec<Whole>,
    /// Whether every span has to be one of `match`.
    #[serde(default)]
    pub(crate) exhaustive: bool,
    /// Spans that have to be children of others.
    #[serde(default)]
    pub(crate) parent_of: Vec<Parent>,
    /// All spans, as `redtape replay --spans json` prints them, sorted: a file, compressed if its name ends in `.zst`.
    pub(crate) golden: Option<PathBuf>,
    /// Keys that are left out of the golden file's lines.
    #[serde(default)]
    pub(crate) ignore: Vec<String>,
}

/// A set of spans.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whole {
    /// Which ones: all of the conditions hold.
    #[serde(rename = "where")]
    pub(crate) wanted: Where,
}

/// Spans that there have to be.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Match {
    /// Which ones: all of the conditions hold.
    #[serde(rename = "where")]
    pub(crate) wanted: Where,
    /// How many; at least one, if it is not said.
    pub(crate) count: Option<Condition<Count>>,
    /// What their durations are.
    pub(crate) duration: Option<Duration>,
    /// What their times in the queue are, of those that have one.
    pub(crate) queue: Option<Duration>,
    /// What each of them says besides.
    #[serde(default)]
    pub(crate) attrs: Where,
}

/// Durations of a set of spans.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Duration {
    /// The shortest.
    pub(crate) min: Option<Condition<Length>>,
    /// The median: that of which half are no longer.
    pub(crate) p50: Option<Condition<Length>>,
    /// That of which 95 % are no longer.
    pub(crate) p95: Option<Condition<Length>>,
    /// That of which 99 % are no longer.
    pub(crate) p99: Option<Condition<Length>>,
    /// The longest.
    pub(crate) max: Option<Condition<Length>>,
    /// All together.
    pub(crate) sum: Option<Condition<Length>>,
}

/// Spans that have to be children of others.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parent {
    /// The children: each of them has to have such a parent.
    pub(crate) child: Where,
    /// The parents.
    pub(crate) parent: Where,
    /// How the parent was found: `traceparent`, `connection`, `thread` or `only_enclosing`.
    pub(crate) link: Option<Condition<Any>>,
    /// How many children there are; at least one, if it is not said.
    pub(crate) count: Option<Condition<Count>>,
}

/// What is expected of metrics at one moment.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricsExpect {
    /// The moment.
    #[serde(default)]
    pub(crate) at: At,
    /// Samples, as in `http_server_request_duration_seconds_count{http_route="/cart/{id}"} == 812`.
    #[serde(default)]
    pub(crate) samples: Vec<Sample>,
    /// What has to be equal.
    #[serde(default)]
    pub(crate) identity: Vec<Identity>,
    /// All metrics, as `redtape replay --metrics openmetrics` prints them: a file, compressed if its name ends in `.zst`.
    pub(crate) openmetrics: Option<PathBuf>,
}

/// A moment of a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum At {
    /// The end.
    #[default]
    End,
    /// So long after the first event.
    Offset(Length),
    /// Each time that so much has passed since the first event, and the end.
    Every(Length),
}

/// A length of time that comes again and again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Steps {
    every: String,
}

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let length = |text: &str| {
            let length = Length::parse(text.strip_prefix('+').unwrap_or(text));
            length.map_err(|error| de::Error::custom(format!("{error}, `end`, or a step as in `{{every: 30s}}`")))
        };
        match &value {
            Value::String(text) if text == "end" => Ok(Self::End),
            Value::Object(_) => {
                let Steps { every } = serde_json::from_value(value).map_err(de::Error::custom)?;
                length(&every).map(Self::Every)
            }
            _ => length(value.as_str().unwrap_or_default()).map(Self::Offset),
        }
    }
}

/// What has to be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum Identity {
    /// The counts of duration metrics and the numbers of complete spans, by kind, service and status.
    #[serde(rename = "spans==metrics")]
    SpansAndMetrics,
    /// The last bucket of each histogram and its count.
    #[serde(rename = "buckets==counts")]
    BucketsAndCounts,
}

/// Budgets of series at the end.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CardinalityExpect {
    /// Series of all metrics.
    pub(crate) series: Option<Condition<Count>>,
    /// Samples of a scrape.
    pub(crate) samples: Option<Condition<Count>>,
    /// Metrics that had more series than their limit.
    pub(crate) overflow: Option<Condition<Count>>,
    /// Series by metric.
    #[serde(default)]
    pub(crate) per_metric: BTreeMap<String, Condition<Count>>,
    /// Distinct values by label, over all metrics.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, LabelBudget>,
    /// New series while traffic goes on.
    pub(crate) growth: Option<Growth>,
}

/// A budget of a label.
#[derive(Clone, Debug)]
pub(crate) struct LabelBudget {
    /// Distinct values.
    pub(crate) values: Option<Condition<Count>>,
    /// Metrics with the label that had more series than their limit.
    pub(crate) overflow: Option<Condition<Count>>,
}

impl<'de> Deserialize<'de> for LabelBudget {
    /// The condition on values alone, `values` and `overflow`, or comparisons with `overflow` beside them.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let condition = |value| serde_json::from_value(value).map_err(de::Error::custom);
        let mut value = Value::deserialize(deserializer)?;
        let Some(keys) = value.as_object_mut() else {
            return Ok(Self { values: condition(value)?, overflow: None });
        };
        let overflow = keys.remove("overflow").map(condition).transpose()?.flatten();
        let values = match keys.remove("values") {
            Some(values) => condition(values)?,
            None if keys.is_empty() => None,
            None => condition(value)?,
        };
        Ok(Self { values, overflow })
    }
}

/// New series while traffic goes on.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Growth {
    /// The last so many spans are looked at.
    #[schemars(range(min = 1))]
    pub(crate) per_requests: u64,
    /// How many series began with one of them.
    pub(crate) series: Condition<Count>,
}

/// Paths and their routes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoutesExpect {
    /// Decide as for this service.
    #[serde(default)]
    pub(crate) service: String,
    /// Decide as for requests that the service sends, not receives.
    #[serde(default)]
    pub(crate) outgoing: bool,
    /// Patterns that take the place of the configuration's `routes.patterns`.
    pub(crate) patterns: Option<Vec<String>>,
    /// Each path and the route it has to get; `null` for a path that is ignored, an empty one for none.
    #[serde(default)]
    pub(crate) paths: BTreeMap<String, Option<String>>,
    /// The same in their order, which matters to routes that are learned, with method and service.
    #[serde(default)]
    pub(crate) cases: Vec<RouteCase>,
    /// The same as a file: a line a path, a tab, and the route; a line that begins with `#` is a comment. Lines may have a
    /// column in front, of patterns that take the place of all others for this line; there, `-` is no route.
    pub(crate) table: Option<PathBuf>,
}

/// A request and its route.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteCase {
    /// Path, or path and query.
    pub(crate) path: String,
    /// The route that it has to get; `null` for a path that is ignored, an empty one for none.
    pub(crate) route: Option<String>,
    /// The method; `GET` if it is not said.
    pub(crate) method: Option<String>,
    /// The service, if it is another one than the table's.
    pub(crate) service: Option<String>,
}

/// What must never be exported.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedactionExpect {
    /// Regular expressions that must fit nothing of spans and metrics in any form.
    pub(crate) never: Vec<Pattern>,
}

/// A regular expression.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(pub(crate) Regex);

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Regex::new(&text).map(Self).map_err(|error| de::Error::custom(format!("`{text}` {}", regex_message(&error))))
    }
}
