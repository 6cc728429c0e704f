//! Which traces are chosen, that a page is the same each time, and that what it says of a tape is text.

use std::collections::{BTreeMap, BTreeSet};

use redtape_core::synth::Workload;
use redtape_core::{Engine, EngineOptions, Output, Span, SpanId, Status, TraceId};

use super::graph::Edges;
use super::label_costs::LabelCosts;
use super::page::harmless;
use super::traces::{ERRORS, SAMPLE, SLOWEST, Traces, Why};

/// Server spans of one service, each a trace of its own.
pub(super) fn of_workload(transactions: u64) -> Vec<Span> {
    let mut engine = Engine::new(EngineOptions::default());
    for event in (Workload { transactions, seed: 3 }).events() {
        engine.push(&event.as_event());
    }
    engine.finish();
    let spans = std::iter::from_fn(|| engine.poll_output());
    spans.filter_map(|output| if let Output::Span(span) = output { Some(*span) } else { None }).collect()
}

#[test]
fn the_slowest_the_failed_and_some_of_each_kind_are_shown() {
    let spans = of_workload(3_000);
    let mut traces = Traces::default();
    spans.iter().for_each(|span| traces.observe(span));
    let chosen = traces.finish();
    assert_eq!((chosen.traces, chosen.spans), (3_000, 3_000));
    let why = |wanted| chosen.shown.iter().filter(move |(_, why)| why.contains(&wanted)).map(|(trace, _)| trace);
    let mut slowest: Vec<_> = spans.iter().map(Span::duration_nanos).collect();
    slowest.sort_unstable();
    let mut shown: Vec<_> = why(Why::Slowest).map(|trace| trace.duration).collect();
    shown.sort_unstable();
    assert_eq!(shown, slowest[spans.len() - SLOWEST..]);
    let kinds = spans.iter().map(|span| span.name().into_owned()).collect::<BTreeSet<_>>().len();
    assert_eq!(why(Why::Sample).count(), SAMPLE.0 * kinds.min(SAMPLE.1));
    let mut failed: BTreeMap<String, usize> = BTreeMap::new();
    for trace in why(Why::Error) {
        assert_eq!(trace.spans[0].status, Status::Error);
        *failed.entry(trace.spans[0].name().into_owned()).or_default() += 1;
    }
    assert!(!failed.is_empty() && failed.values().all(|&count| count <= ERRORS.0));
    assert!(chosen.shown.is_sorted_by_key(|(trace, _)| trace.spans[0].start));
}

#[test]
fn a_trace_is_bounded_and_says_what_it_leaves_out() {
    let mut traces = Traces::default();
    let trace_id = TraceId([7; 16]);
    let spans: Vec<_> = of_workload(1_000).into_iter().map(|span| Span { trace_id, ..span }).collect();
    spans.iter().for_each(|span| traces.observe(span));
    let chosen = traces.finish();
    let (trace, _) = &chosen.shown[0];
    assert_eq!((trace.spans.len(), trace.left_out), (200, 800));
    assert_eq!(trace.tree().len(), 200);
}

#[test]
fn spans_whose_parents_are_each_others_are_shown_all_the_same() {
    let mut traces = Traces::default();
    let [a, b, c] = [1, 2, 3].map(|id| SpanId([id; 8]));
    let ids = [(a, Some(b)), (b, Some(a)), (c, Some(c))];
    for (span, (span_id, parent_span_id)) in of_workload(3).into_iter().zip(ids) {
        traces.observe(&Span { trace_id: TraceId([1; 16]), span_id, parent_span_id, ..span });
    }
    let chosen = traces.finish();
    assert_eq!(chosen.shown[0].0.tree().len(), 3);
}

#[test]
fn calls_from_outside_come_from_outside() {
    let mut edges = Edges::default();
    let spans = of_workload(100);
    spans.iter().for_each(|span| edges.observe(std::slice::from_ref(span)));
    let graph = serde_json::to_value(edges.graph()).unwrap();
    assert_eq!(graph["edges"].as_array().unwrap().len(), 1);
    assert_eq!((&graph["edges"][0]["from"]["type"], &graph["edges"][0]["count"]), (&"outside".into(), &100.into()));
}

#[test]
fn a_label_more_never_means_fewer_series() {
    let mut costs = LabelCosts::default();
    let spans = of_workload(1_000);
    assert!(
        spans.iter().any(|span| span.http.query().is_some()) && spans.iter().any(|span| span.http.query().is_none())
    );
    spans.iter().for_each(|span| costs.observe(span));
    let would_be = serde_json::to_value(costs.would_be()).unwrap();
    let attributes = would_be["attributes"].as_array().unwrap();
    assert!(attributes.iter().any(|one| one["name"] == "url.query"), "{would_be}");
    for attribute in attributes {
        assert!(attribute["series"].as_u64() >= would_be["series"].as_u64(), "{attribute}");
        assert!(attribute["values"].as_u64() > Some(0), "{attribute}");
    }
}

#[test]
fn no_json_ends_its_element() {
    let hostile = serde_json::json!({"</script><!-- & \u{2028}": "]]>"});
    let text = harmless(&hostile.to_string());
    assert!(!text.contains(['<', '>', '&', '\u{2028}']), "{text}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), hostile);
}
