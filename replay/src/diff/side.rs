//! One of the two sides of a comparison: as much as its form tells.

use std::collections::{BTreeMap, BTreeSet};

use redtape_core::SpanId;
use redtape_core::metric::{Quantiles, RedTable};
use serde::Serialize;

/// Paths, spans and kinds of spans of one side that are remembered one by one; beyond, only counts are.
pub(super) const REMEMBERED: usize = 200_000;

/// One side.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// What it is called in messages.
    pub(crate) name: String,
    /// How long the tape is; `None` of a file of spans, which does not say.
    pub(super) nanos: Option<u64>,
    /// Of a file of metrics, none.
    pub(super) red: Option<BTreeMap<Row, Red>>,
    pub(super) spans: Option<Spans>,
    /// Of a file of spans, none.
    pub(super) series: Option<BTreeMap<String, MetricSeries>>,
}

/// What a row of the RED table is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Row {
    /// With its namespace, if it has one.
    pub(crate) service: String,
    pub(crate) kind: String,
    pub(crate) route: String,
    pub(crate) method: String,
}

/// What it says.
#[derive(Clone, Debug, Default)]
pub(super) struct Red {
    pub(super) count: u64,
    pub(super) errors: u64,
    pub(super) incomplete: u64,
    pub(super) duration: Quantiles,
}

/// What is known of spans.
#[derive(Debug, Default)]
pub(super) struct Spans {
    pub(super) count: u64,
    pub(super) groups: BTreeMap<Group, u64>,
    /// The routes of each path, which is one, or where routes are learned, several.
    pub(super) paths: BTreeMap<Path, BTreeSet<String>>,
    /// Each span's group and parent.
    pub(super) by_id: BTreeMap<SpanId, (Group, Option<SpanId>)>,
    /// There were more of either than are remembered.
    pub(super) more: bool,
}

/// Spans that are alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Group {
    pub(crate) service: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    /// How they were answered.
    pub(crate) answer: String,
}

impl Group {
    /// Spans of more kinds than are told apart.
    fn others() -> Self {
        let dash = || "-".to_owned();
        Self { service: "(others)".into(), kind: dash(), name: dash(), answer: dash() }
    }
}

/// A path that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path {
    pub(super) service: String,
    pub(super) kind: String,
    pub(super) method: String,
    pub(super) path: String,
}

/// The series of one metric by their labels, with the values that are no buckets.
pub(super) type MetricSeries = BTreeMap<String, BTreeMap<String, f64>>;

/// One span, in whatever form it came.
pub(super) struct Seen {
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) group: Group,
    pub(super) method: String,
    /// Empty where it has none.
    pub(super) route: String,
    /// `None` of gRPC, and where it is not known.
    pub(super) path: Option<String>,
}

impl Spans {
    pub(super) fn take(&mut self, seen: Seen) {
        self.count += 1;
        let Group { service, kind, .. } = &seen.group;
        if let Some(path) = seen.path {
            let path = Path { service: service.clone(), kind: kind.clone(), method: seen.method, path };
            if self.paths.len() < REMEMBERED || self.paths.contains_key(&path) {
                self.paths.entry(path).or_default().insert(seen.route);
            } else {
                self.more = true;
            }
        }
        if self.by_id.len() < REMEMBERED {
            self.by_id.insert(seen.id, (seen.group.clone(), seen.parent));
        } else {
            self.more = true;
        }
        let known = self.groups.len() < REMEMBERED || self.groups.contains_key(&seen.group);
        *self.groups.entry(if known { seen.group } else { Group::others() }).or_default() += 1;
    }
}

/// The rows of a RED table.
pub(super) fn rows(table: &RedTable) -> BTreeMap<Row, Red> {
    let row = |row: &redtape_core::metric::RedRow| {
        let key = row.key.as_ref().map_or_else(Row::others, |key| Row {
            service: qualified(&key.namespace, &key.service),
            kind: key.kind.as_str().into(),
            route: key.route.clone(),
            method: key.method.clone(),
        });
        let (count, errors, incomplete) = (row.count, row.errors, row.incomplete);
        (key, Red { count, errors, incomplete, duration: row.duration.clone() })
    };
    table.rows.iter().map(row).collect()
}

impl Row {
    fn others() -> Self {
        Self { service: "(others)".into(), kind: "-".into(), route: String::new(), method: "-".into() }
    }
}

/// A service's name with its namespace, as the summary of `replay` has it.
pub(super) fn qualified(namespace: &str, service: &str) -> String {
    if namespace.is_empty() { service.to_owned() } else { format!("{namespace}/{service}") }
}
