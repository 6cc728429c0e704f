//! Tapes that mislead keep stage 2 within its bounds.

use crate::config::ConfigText;
use crate::diagnostic::DiagnosticKind;
use crate::engine::{Engine, EngineOptions, Output};
use crate::event::{Body, BodyBuf, EventBuf};
use crate::ids::Origin;
use crate::limits::Limits;
use crate::synth::Scenario;
use crate::time::{ClockAnchor, MonoNanos, WallNanos};

fn clock(number: u64) -> EventBuf {
    let mut origin = [0; 16];
    origin[..8].copy_from_slice(&number.to_le_bytes());
    let mono = MonoNanos::new(number);
    let anchor = ClockAnchor { mono, boot_nanos: 0, wall: WallNanos::new(number), uncertainty_nanos: 0 };
    EventBuf::new(mono, BodyBuf::Plain(Body::Clock { origin: Origin(origin), anchor }))
}

#[test]
fn clocks_of_more_recordings_than_can_be_kept() {
    let mut engine = Engine::new(EngineOptions::default());
    let (limit, count) = (Limits::default().origins as u64, 5000);
    (0..count).for_each(|number| engine.push(&clock(number).as_event()));
    // One that is known is no overflow, however often it comes.
    engine.push(&clock(0).as_event());
    engine.finish();
    assert_eq!(engine.totals().diagnostics.get(&DiagnosticKind::ClockOverflow), Some(&(count - limit)));
    let said = std::iter::from_fn(|| engine.poll_output())
        .filter(|output| matches!(output, Output::Diagnostic { kind: DiagnosticKind::ClockOverflow, .. }));
    assert_eq!(said.count() as u64, count - limit);
}

#[test]
fn a_full_table_of_requests_is_said_once_and_counted_each_time() {
    let limits = Limits { open_requests: 1, ..Limits::default() };
    let mut engine = Engine::new(EngineOptions { limits, ..EngineOptions::default() });
    let scenario = Scenario { requests: Some(64), ..Scenario::shop() };
    scenario.events().for_each(|event| engine.push(&event.as_event()));
    engine.finish();
    let full = |output: &Output| matches!(output, Output::Diagnostic { kind: DiagnosticKind::LinkTableFull, .. });
    assert!(engine.totals().diagnostics[&DiagnosticKind::LinkTableFull] > 1);
    assert_eq!(std::iter::from_fn(|| engine.poll_output()).filter(full).count(), 1);
}

fn config(time: MonoNanos, yaml: &str) -> EventBuf {
    let text = ConfigText { yaml: yaml.to_owned(), ..ConfigText::default() };
    EventBuf::new(time, BodyBuf::Enrich(text.to_facts()))
}

/// The routes and services of a synthetic tape into which configurations come at its half and at its end.
fn spans(reload: bool, yaml: &str) -> (Vec<(MonoNanos, String, String)>, MonoNanos, u64) {
    let scenario = Scenario { requests: Some(72), ..Scenario::shop() };
    let events: Vec<_> = scenario.events().collect();
    let half = events[events.len() / 2].time;
    let mut engine = Engine::new(EngineOptions { reload, ..EngineOptions::default() });
    for (number, event) in events.iter().enumerate() {
        if number == events.len() / 2 {
            engine.push(&config(half, yaml).as_event());
            engine.push(&config(half, "routes: {unmatched: nonsense}").as_event());
        }
        engine.push(&event.as_event());
    }
    engine.finish();
    let rejected = engine.totals().diagnostics.get(&DiagnosticKind::ConfigRejected).copied().unwrap_or_default();
    let spans = std::iter::from_fn(|| engine.poll_output()).filter_map(|output| match output {
        Output::Span(span) if span.has_path() => {
            Some((span.end, span.route.to_string(), span.service.name.to_string()))
        }
        _ => None,
    });
    (spans.collect(), half, rejected)
}

#[test]
fn a_configuration_holds_from_its_place_on_the_tape() {
    const YAML: &str = "{routes: {unmatched: wildcard}, executable_name: '.', service_name: renamed}";
    let (all, half, rejected) = spans(true, YAML);
    assert_eq!(rejected, 1, "the second one is no configuration");
    let changed = |span: &(MonoNanos, String, String)| span.1 == "/**" && span.2 == "renamed";
    let (first, then): (Vec<_>, Vec<_>) = all.iter().partition(|(end, ..)| *end < half);
    assert!(!first.is_empty() && !first.iter().any(|span| changed(span)), "{first:?}");
    assert!(then.iter().filter(|span| changed(span)).count() > then.len() / 2, "{then:?}");
    let (unchanged, _, rejected) = spans(false, YAML);
    assert!(!unchanged.iter().any(changed) && rejected == 0, "someone asked for another one");
}
