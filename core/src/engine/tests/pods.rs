//! What tapes tell of pods decorates spans, and decides of some.

use crate::attributes::AttributeValue;
use crate::config::Config;
use crate::diagnostic::DiagnosticKind;
use crate::engine::{Engine, Output};
use crate::event::{BodyBuf, EventBuf};
use crate::route::Evidence;
use crate::span::Service;
use crate::synth::Scenario;
use crate::time::MonoNanos;

const CONTAINER: &str = "40c03570b6f4c30bc8d69923d37ee698f5cfcced92c7b7df1c47f6f7887378a9";

fn pod(time: MonoNanos) -> EventBuf {
    let facts = [
        ("k8s.pod.uid", "u"),
        ("k8s.pod.name", "web-5d9-x2"),
        ("k8s.namespace.name", "shop"),
        ("k8s.owner.name", "web"),
        ("container.id", CONTAINER),
        ("k8s.container.name", "app"),
    ];
    EventBuf::new(time, BodyBuf::Enrich(facts.map(|(key, value)| (key.into(), value.into())).into()))
}

/// An engine that has seen a tape whose processes are in one container, which it is told of at the tape's half.
fn contained(discovery: &str) -> (Engine, MonoNanos) {
    let scenario = Scenario { requests: Some(72), ..Scenario::shop() };
    let events: Vec<_> = scenario.events().collect();
    let half = events[events.len() / 2].time;
    let (config, _) = Config::from_yaml(discovery, "c.yml").unwrap();
    let mut engine = Engine::new(config.engine(false, Evidence::Online).unwrap());
    for (number, mut event) in events.into_iter().enumerate() {
        if let BodyBuf::Process(info) = &mut event.body {
            info.cgroup = format!("/system.slice/docker-{CONTAINER}.scope");
            info.env.clear();
        }
        if event.time >= half && number > 0 {
            engine.push(&pod(half).as_event());
        }
        engine.push(&event.as_event());
    }
    engine.finish();
    (engine, half)
}

#[test]
fn a_pod_decorates_the_spans_that_end_after_it_is_known() {
    let (mut engine, half) = contained("executable_name: .");
    let spans: Vec<_> = std::iter::from_fn(|| engine.poll_output())
        .filter_map(|output| if let Output::Span(span) = output { Some(span) } else { None })
        .collect();
    let (mut before, mut after) = (0, 0);
    for span in &spans {
        let Service { name, namespace, instance, container, .. } = &*span.service;
        assert_eq!(container.as_ref().map(|container| &*container.id), Some(CONTAINER));
        if (&**name, &**namespace, &**instance) == ("web", "shop", "shop.web-5d9-x2.app") {
            after += 1;
            assert!(span.end >= half);
            let resource = span.service.resource();
            assert!(resource.is_sorted_by_key(|(key, _)| *key), "{resource:?}");
            let has = |key, value: &str| resource.contains(&(key, AttributeValue::Text(value.into())));
            assert!(has("k8s.pod.name", "web-5d9-x2") && has("k8s.container.name", "app"), "{resource:?}");
            assert!(has("container.id", CONTAINER));
        } else {
            before += 1;
        }
    }
    assert!(before > 5 && after > 5, "{before} {after}");
    let snapshot = engine.metrics().snapshot();
    let family = snapshot.families.iter().find(|family| family.name == "target").unwrap();
    assert_eq!(
        family.labels.iter().filter(|label| label.starts_with("k8s_")).collect::<Vec<_>>(),
        [&"k8s_container_name", &"k8s_namespace_name", &"k8s_owner_name", &"k8s_pod_name", &"k8s_pod_uid"],
        "what no pod has is no label"
    );
}

#[test]
fn spans_whose_pod_does_not_fit_or_is_not_known_are_left_out() {
    let spans = |discovery: &str| {
        let (engine, _) = contained(discovery);
        let totals = engine.totals();
        (totals.spans, totals.diagnostics.get(&DiagnosticKind::PodUnknown).copied().unwrap_or_default())
    };
    let (all, unknown) = spans("executable_name: .");
    assert_eq!(unknown, 0);
    let (fitting, unknown) = spans("discovery: {services: [{k8s_namespace: shop}]}");
    assert!(fitting > 5 && unknown > 5 && fitting + unknown == all, "{fitting} and {unknown} of {all}");
    assert_eq!(spans("discovery: {services: [{k8s_namespace: another}]}"), (0, unknown));
    // Only at a time is it known that they are to be left out.
    assert_eq!(spans("discovery: {services: [{exe_path: .}], exclude_services: [{k8s_pod_name: web}]}"), (0, unknown));
}
