//! The registry: every metric's series, counted span by span.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::catalog::{Definition, Measure, When, definitions, labels};
use super::exemplar::{Exemplar, ExemplarFilter};
use super::graph::Graph;
use super::histogram::Histogram;
use super::label::Label;
use super::settings::{MetricFeature, MetricsConfig};
use super::snapshot::{Family, FamilyKind, Scale, Series, Snapshot, Value};
use super::span_names::{AGGREGATED, SpanNames};
use super::summary::{Red, RedTable};
use super::table::{Row, Slot, Table, Values};
use crate::diagnostic::DiagnosticKind;
use crate::event::LossCause;
use crate::limits::Limits;
use crate::span::Span;
use crate::time::MonoNanos;

/// Counts spans into series.
///
/// Which series exist and which observations go to an overflow series depends on nothing but the order of
/// [`observe`](Self::observe), which is the order of stage 2.
#[derive(Clone, Debug)]
pub struct Registry {
    groups: Vec<Group>,
    red: Red,
    graph: Option<Graph>,
    /// Those of services that have none of their own.
    features: BTreeSet<MetricFeature>,
    /// `None` where no metric has span names.
    span_names: Option<SpanNames>,
    /// All labels that any of them looks at.
    labels: Vec<Label>,
    /// By the values of `labels`: where a span counts, so that one look-up serves for all of `groups` and `red`.
    places: Table<Places>,
    key: Values,
    scratch: Values,
    exemplars: ExemplarFilter,
    observed: u64,
    diagnostics: BTreeMap<&'static str, u64>,
    losses: BTreeMap<&'static str, u64>,
}

/// Where spans with the same labels count: their row in each group, and in the RED table. `None` where it was not needed
/// so far: some groups are about some of these spans only.
#[derive(Clone, Debug)]
struct Places {
    groups: Box<[Option<Slot>]>,
    red: Option<Slot>,
}

/// Metrics that are about the same spans and have the same labels, and so the same series.
#[derive(Clone, Debug)]
struct Group {
    when: When,
    /// What switches them on.
    feature: Option<MetricFeature>,
    labels: Vec<Label>,
    metrics: Vec<Metric>,
    table: Table<Box<[Value]>>,
}

#[derive(Clone, Debug)]
struct Metric {
    definition: Definition,
    empty: Value,
}

/// A span, as it is counted.
struct Observed<'a> {
    span: &'a Span,
    /// What it is called instead, in span metrics.
    span_name: Option<&'a str>,
    /// How many there were, with it.
    ordinal: u64,
    /// The exemplar that it makes.
    exemplar: Option<Exemplar>,
}

impl Registry {
    /// A registry of the metrics that `config` asks for.
    pub fn new(config: &MetricsConfig, limits: &Limits) -> Self {
        let duration_bounds: Arc<[u64]> = config.duration_buckets.as_slice().into();
        let request_bounds: Arc<[u64]> = config.request_size_buckets.as_slice().into();
        let response_bounds: Arc<[u64]> = config.response_size_buckets.as_slice().into();
        let limit = config.series_limit.unwrap_or(usize::MAX).min(limits.series_per_metric);
        let mut groups: Vec<Group> = Vec::new();
        for definition in definitions(config) {
            let labels = labels(&definition, config);
            let bounds = match definition.measure {
                Measure::Count | Measure::Duration | Measure::Queue => &duration_bounds,
                Measure::RequestSize => &request_bounds,
                Measure::ResponseSize => &response_bounds,
            };
            let empty = match definition.kind {
                FamilyKind::Counter => Value::Counter(0),
                FamilyKind::Histogram => {
                    let histogram = Histogram::new(bounds.clone());
                    Value::Histogram(histogram.with_exponential(config.exponential, definition.scale))
                }
                FamilyKind::Info => Value::Info,
            };
            let metric = Metric { definition, empty };
            let like = |group: &&mut Group| {
                (group.when, group.feature) == (definition.when, definition.feature) && group.labels == labels
            };
            match groups.iter_mut().find(like) {
                Some(group) => group.metrics.push(metric),
                None => groups.push(Group {
                    when: definition.when,
                    feature: definition.feature,
                    labels,
                    metrics: vec![metric],
                    table: Table::new(limit),
                }),
            }
        }
        let mut features = config.features.union(&config.some_features);
        let graph = features.any(|feature| *feature == MetricFeature::ApplicationServiceGraph);
        let graph = graph.then(|| Graph::new(duration_bounds, config, limit));
        let mut labels: Vec<Label> =
            groups.iter().flat_map(|group| &group.labels).copied().chain(Red::LABELS).collect();
        // Most spans are of no pod: to find where they count, one look at that is enough.
        if labels.iter().any(|label| matches!(label, Label::Kubernetes(_))) {
            labels.retain(|label| !matches!(label, Label::Kubernetes(_)));
            labels.push(Label::Pod);
        }
        labels.sort_unstable();
        labels.dedup();
        let span_names = labels
            .contains(&Label::SpanName)
            .then(|| SpanNames::new(config.span_names_limit, limits.processes, config.ttl_nanos));
        Self {
            groups,
            red: Red::new(limits.red_rows),
            graph,
            features: config.features.clone(),
            span_names,
            labels,
            places: Table::new(limits.series_per_metric),
            key: Values::default(),
            scratch: Values::default(),
            exemplars: config.exemplars,
            observed: 0,
            diagnostics: BTreeMap::new(),
            losses: BTreeMap::new(),
        }
    }

    /// Counts a span, unless it is ignored in metrics. Allocates for new series alone.
    pub fn observe(&mut self, span: &Span) {
        if span.ignored.metrics {
            return;
        }
        self.observed += 1;
        let aggregates = self.span_names.as_mut().is_some_and(|names| names.aggregates(span));
        let span_name = aggregates.then_some(AGGREGATED);
        self.key.fill_named(&self.labels, span, span_name);
        let unknown = || Places { groups: vec![None; self.groups.len()].into(), red: None };
        let slot = self.places.slot(&self.key, self.observed, unknown);
        let Some(row) = self.places.get_mut(slot) else { return };
        if slot == Slot::Overflow {
            // Many kinds of spans share this row, so it remembers nothing.
            row.data.groups.fill(None);
            row.data.red = None;
        }
        let (scratch, ordinal) = (&mut self.scratch, self.observed);
        self.red.observe(span, &mut row.data.red, scratch, ordinal);
        let features = span.service.signals.features.as_ref().unwrap_or(&self.features);
        let exemplar = self.exemplars.exemplar(span);
        for (group, slot) in self.groups.iter_mut().zip(&mut row.data.groups) {
            let counts = group.feature.is_none_or(|feature| features.contains(&feature)) && group.when.includes(span);
            let observed = Observed { span, span_name, ordinal, exemplar };
            if counts && group.observe(&observed, slot, scratch) == Slot::Overflow {
                *self.diagnostics.entry(DiagnosticKind::SeriesOverflow.name()).or_default() += 1;
            }
        }
        let graphed = features.contains(&MetricFeature::ApplicationServiceGraph) && When::Finished.includes(span);
        let graph = self.graph.as_mut().filter(|_| graphed);
        if graph.is_some_and(|graph| graph.observe(span, ordinal)) {
            *self.diagnostics.entry(DiagnosticKind::SeriesOverflow.name()).or_default() += 1;
        }
    }

    /// Counts trouble that was met `count` times.
    pub fn diagnostic(&mut self, kind: DiagnosticKind, count: u64) {
        *self.diagnostics.entry(kind.name()).or_default() += count;
    }

    /// Counts lost records.
    pub fn lost(&mut self, cause: LossCause, count: u64) {
        *self.losses.entry(cause.name()).or_default() += count;
    }

    /// How many spans were observed.
    pub const fn observed(&self) -> u64 {
        self.observed
    }

    /// The RED table as it is now.
    pub fn red(&self) -> RedTable {
        self.red.table()
    }

    /// All metrics as they are now.
    pub fn snapshot(&self) -> Snapshot {
        let mut families: Vec<Family> = self.groups.iter().flat_map(Group::families).collect();
        families.extend(self.graph.iter().flat_map(Graph::families));
        families.push(counts(
            "redtape_diagnostics",
            "What was wrong with the input, and bounds that were reached.",
            "kind",
            &self.diagnostics,
        ));
        families.push(counts(
            "redtape_lost_records",
            "Records that were produced but are not on the tape; bytes, for damaged and cut tapes.",
            "cause",
            &self.losses,
        ));
        families.sort_by_key(|family| family.name);
        Snapshot { families, observed: self.observed }
    }
}

impl Group {
    /// Counts a span at `place`, which is found out if it is not known, and tells it.
    fn observe(&mut self, observed: &Observed<'_>, place: &mut Option<Slot>, scratch: &mut Values) -> Slot {
        let &Observed { span, span_name, ordinal, exemplar } = observed;
        let slot = *place.get_or_insert_with(|| {
            scratch.fill_named(&self.labels, span, span_name);
            let new = || self.metrics.iter().map(|metric| metric.empty.clone()).collect();
            self.table.slot(scratch, ordinal, new)
        });
        let Some(row) = self.table.get_mut(slot) else { return slot };
        row.updated = row.updated.max(span.end);
        for (metric, value) in self.metrics.iter().zip(&mut row.data) {
            let measured = metric.definition.measure.of(span);
            match value {
                Value::Counter(count) => *count += u128::from(measured),
                Value::Histogram(histogram) => histogram.record_with(measured, exemplar),
                Value::Info => {}
            }
        }
        slot
    }

    fn families(&self) -> impl Iterator<Item = Family> {
        let mut rows: Vec<&Row<Box<[Value]>>> = self.table.rows().collect();
        rows.sort_by(|a, b| match (&a.values, &b.values) {
            (Some(a), Some(b)) => a.iter().cmp(b.iter()),
            (a, b) => a.is_none().cmp(&b.is_none()),
        });
        let shown = self.shown(&rows);
        self.metrics.iter().enumerate().map(move |(at, metric)| {
            let series = rows.iter().filter_map(|row| {
                let value = row.data.get(at)?.clone();
                let values = row.values.iter().flat_map(Values::iter).zip(&shown).filter(|(_, shown)| **shown);
                let values = values.map(|(value, _)| value.into()).collect();
                Some(Series {
                    values,
                    overflow: row.values.is_none(),
                    born: row.born,
                    updated: row.updated,
                    value,
                    parts: Vec::new(),
                })
            });
            let Definition { name, otel_name, help, kind, scale, .. } = metric.definition;
            let labels = self.labels.iter().zip(&shown).filter(|(_, shown)| **shown);
            let labels = labels.map(|(label, _)| label.name()).collect();
            Family { name, otel_name, help, kind, scale, labels, series: series.collect() }
        })
    }

    /// Which labels are told: where there are no pods, none of theirs are.
    fn shown(&self, rows: &[&Row<Box<[Value]>>]) -> Vec<bool> {
        let mut shown: Vec<bool> = self.labels.iter().map(|label| !matches!(label, Label::Kubernetes(_))).collect();
        for values in rows.iter().filter_map(|row| row.values.as_ref()) {
            for (shown, value) in shown.iter_mut().zip(values.iter()) {
                *shown |= !value.is_empty();
            }
        }
        shown
    }
}

/// A family of one label whose values are few and fixed.
fn counts(name: &'static str, help: &'static str, label: &'static str, counts: &BTreeMap<&'static str, u64>) -> Family {
    let series = counts.iter().map(|(value, count)| Series {
        values: vec![(*value).into()],
        overflow: false,
        born: 0,
        updated: MonoNanos::ZERO,
        value: Value::Counter(u128::from(*count)),
        parts: Vec::new(),
    });
    Family {
        name,
        otel_name: name,
        help,
        kind: FamilyKind::Counter,
        scale: Scale::None,
        labels: vec![label],
        series: series.collect(),
    }
}

#[cfg(test)]
mod tests;
