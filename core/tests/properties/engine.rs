//! Properties of both stages together: spans, links and metrics.

use std::collections::BTreeMap;

use proptest::prelude::*;
use redtape_core::metric::{RedTable, Text, TextFormat, write_text};
use redtape_core::synth::{CapturePolicy, ExchangeId, Scenario, Truth, transform};
use redtape_core::{
    BodyBuf, ConnKey, Engine, EngineOptions, EventBuf, IdHasher, Limits, LinkMode, LinkOptions, Merge, MonoNanos,
    Outcome, Output, Part, Span, SpanId, SpanKind, Stage1, Stage2, Watermark,
};

use crate::generate::{EVERYTHING, config, scenarios};

/// All that comes out of a run.
#[derive(Debug)]
struct Run {
    spans: Vec<Span>,
    metrics: String,
    red: RedTable,
}

impl Run {
    /// The spans as text, in their order.
    fn lines(&self) -> Vec<String> {
        self.spans.iter().map(|span| format!("{span:?}")).collect()
    }

    fn take(&mut self, output: Output) {
        if let Output::Span(span) = output {
            self.spans.push(*span);
        }
    }
}

fn options(limits: Limits) -> EngineOptions {
    let links = LinkOptions { ignore_traceparent: true, ..LinkOptions::default() };
    EngineOptions { links, limits, ..EngineOptions::default() }
}

fn text(registry: &redtape_core::metric::Registry) -> String {
    let mut text = String::new();
    write_text(&mut text, &registry.snapshot(), &Text::plain(TextFormat::OpenMetrics))
        .expect("a String can be written to");
    text
}

/// One thread, as a caller has it who does not know of stages.
fn run(events: &[EventBuf], limits: Limits) -> Run {
    let mut engine = Engine::new(options(limits));
    let mut spans = Vec::new();
    let mut drain = |engine: &mut Engine| {
        while let Some(output) = engine.poll_output() {
            if let Output::Span(span) = output {
                spans.push(*span);
            }
        }
    };
    for event in events {
        engine.push(&event.as_event());
        drain(&mut engine);
    }
    engine.finish();
    drain(&mut engine);
    Run { spans, metrics: text(engine.metrics()), red: engine.metrics().red() }
}

/// Stage 1 in `parts`, each by itself, and stage 2 behind them.
fn run_in_parts(events: &[EventBuf], limits: Limits, parts: usize) -> Run {
    let mut stage1: Vec<Stage1> = (0..parts).map(|index| Stage1::new(Part { index, of: parts }, &limits)).collect();
    let (mut watermark, mut merge, mut stage2) = (Watermark::default(), Merge::default(), Stage2::new(options(limits)));
    for event in events {
        let (event, before) = (event.as_event(), watermark.now());
        let now = watermark.admit(event.time);
        if now > before {
            merge.before(now).for_each(|finding| stage2.take(finding));
        }
        stage2.fact(&event, now);
        // The last part first: the order in which parts hand over must not matter.
        for (index, stage) in stage1.iter_mut().enumerate().rev() {
            if event.body.conn().is_none_or(|conn| Part { index, of: parts }.has(conn)) {
                stage.push(&event, now, merge.pending());
            }
        }
    }
    stage1.iter_mut().rev().for_each(|stage| stage.finish(watermark.now(), merge.pending()));
    merge.all().for_each(|finding| stage2.take(finding));
    stage2.finish(watermark.now());
    let mut run = Run { spans: Vec::new(), metrics: text(stage2.metrics()), red: stage2.metrics().red() };
    while let Some(output) = stage2.poll_output() {
        run.take(output);
    }
    run
}

/// The span id of each side of each exchange.
fn span_ids(events: &[EventBuf], truth: &[Truth]) -> BTreeMap<ExchangeId, SpanId> {
    span_ids_with(events, truth, |id| id)
}

/// As [`span_ids`], where connections have other numbers.
fn span_ids_with(events: &[EventBuf], truth: &[Truth], number: fn(u64) -> u64) -> BTreeMap<ExchangeId, SpanId> {
    let conns: BTreeMap<ConnKey, (redtape_core::Origin, u64)> = events
        .iter()
        .filter_map(|event| match &event.body {
            BodyBuf::Connection(info) => Some((info.key, (info.origin, info.id))),
            _ => None,
        })
        .collect();
    let id = |truth: &Truth| {
        let (origin, conn) = conns[&truth.id.conn];
        let direction = u64::from(truth.kind == SpanKind::Client);
        (truth.id, IdHasher::new(origin, number(conn)).with(direction).with(truth.id.pos).span_id())
    };
    truth.iter().map(id).collect()
}

fn record(scenario: &Scenario) -> (Vec<EventBuf>, Vec<Truth>) {
    (scenario.events().collect(), scenario.truth().collect())
}

/// Whether the parent of `truth` must be found: by the connection where both ends are recorded, by the thread where it
/// blocks and serves one request at a time.
fn must_be_linked(truth: &Truth, by_id: &BTreeMap<ExchangeId, &Truth>) -> bool {
    let Some(parent) = truth.parent.and_then(|id| by_id.get(&id)) else { return false };
    let pipelines = |conn: ConnKey| by_id.values().any(|truth| truth.id.conn == conn && truth.pipelined);
    match truth.kind {
        SpanKind::Server => true,
        SpanKind::Client => truth.blocking && !pipelines(parent.id.conn),
    }
}

proptest! {
    #![proptest_config(config())]

    /// Every exchange becomes a span that says what happened, and nothing else does (I12).
    #[test]
    fn spans_tell_the_truth(scenario in scenarios(EVERYTHING)) {
        let (events, truth) = record(&scenario);
        let run = run(&events, Limits::default());
        prop_assert_eq!(run.spans.len(), truth.len());
        let spans: BTreeMap<SpanId, &Span> = run.spans.iter().map(|span| (span.span_id, span)).collect();
        let ids = span_ids(&events, &truth);
        for truth in &truth {
            let Some(span) = spans.get(&ids[&truth.id]) else { panic!("no span: {truth:?}") };
            let same = (span.kind, &*span.service.name, span.http.method(), span.http.status_code, span.outcome)
                == (truth.kind, &*truth.service, &*truth.method, truth.status, truth.outcome);
            let timely = (span.start, span.queue_nanos, span.accept_wait_nanos)
                == (truth.start, truth.queue_nanos, truth.accept_wait_nanos);
            let ended = truth.outcome != Outcome::Complete || Some(span.end) == truth.end;
            prop_assert!(same && timely && ended && span.end >= span.start, "{span:?}\n{truth:?}");
        }
    }

    /// No link is wrong, and those that follow from facts are there.
    #[test]
    fn links_are_right(scenario in scenarios(EVERYTHING)) {
        let (events, truth) = record(&scenario);
        let run = run(&events, Limits::default());
        let spans: BTreeMap<SpanId, &Span> = run.spans.iter().map(|span| (span.span_id, span)).collect();
        let ids = span_ids(&events, &truth);
        let by_id: BTreeMap<ExchangeId, &Truth> = truth.iter().map(|truth| (truth.id, truth)).collect();
        for truth in &truth {
            let span = spans[&ids[&truth.id]];
            let parent = truth.parent.map(|parent| ids[&parent]);
            prop_assert!(span.parent_span_id.is_none() || span.parent_span_id == parent, "{span:?}\n{truth:?}");
            prop_assert!(!must_be_linked(truth, &by_id) || span.parent_span_id == parent, "{span:?}\n{truth:?}");
            if let Some(parent) = span.parent_span_id {
                prop_assert_eq!(spans[&parent].trace_id, span.trace_id);
            }
        }
    }

    /// Lost records make no link wrong. Without pipelining: where a pipelined request is lost, the thread that works for it seems
    /// to work for the next one, which it has read as well.
    #[test]
    fn losses_make_no_link_wrong(scenario in scenarios(EVERYTHING), per_mille in 1_u32..200, seed: u64) {
        let (events, truth) = record(&crate::generate::one_by_one(scenario));
        let run = run(&transform::drop_data(&events, per_mille, seed).0, Limits::default());
        let ids = span_ids(&events, &truth);
        let truths: BTreeMap<SpanId, &Truth> = truth.iter().map(|truth| (ids[&truth.id], truth)).collect();
        for span in run.spans.iter().filter(|span| span.parent_span_id.is_some()) {
            let parent = truths[&span.span_id].parent.map(|parent| ids[&parent]);
            prop_assert_eq!(span.parent_span_id, parent, "{:?}\n{:?}", span, truths[&span.span_id]);
        }
    }

    /// I10: into how many parts stage 1 is divided does not matter, also where bounds are reached.
    #[test]
    fn parts_do_not_matter(
        scenario in scenarios(CapturePolicy::default()),
        parts in 1_usize..17,
        tight: bool,
        future: Option<prop::sample::Index>,
    ) {
        let (mut events, _) = record(&scenario);
        // From there on tape time stands still.
        if let Some(future) = future.filter(|_| !events.is_empty()) {
            future.get_mut(&mut events).time = MonoNanos::new(1 << 63);
        }
        let low = Limits {
            shard_connections: 1,
            shard_buffered_bytes: 600,
            shard_moment_bytes: 2000,
            held_spans: 4,
            open_requests: 6,
            linked_connections: 4,
            processes: 2,
            series_per_metric: 3,
            ..Limits::default()
        };
        let limits = if tight { low } else { Limits::default() };
        let (one, many) = (run(&events, limits), run_in_parts(&events, limits, parts));
        prop_assert_eq!(one.lines(), many.lines());
        prop_assert_eq!(one.metrics, many.metrics);
    }

    /// I3: how connections interleave does not matter to spans and metrics.
    #[test]
    fn interleaving_does_not_matter(scenario in scenarios(EVERYTHING), seed: u64) {
        let (events, _) = record(&scenario);
        let (one, other) = (run(&events, Limits::default()), run(&transform::interleave(&events, 1_000_000, seed), Limits::default()));
        let ends = |run: &Run| {
            let mut ends: Vec<_> = run.spans.iter().map(|span| (span.span_id, span.start, span.end, span.outcome as u8)).collect();
            ends.sort_unstable();
            ends
        };
        prop_assert_eq!(ends(&one), ends(&other));
    }

    /// Traffic through TLS gives the same spans as in plaintext, each under a name of its own, and says so.
    #[test]
    fn tls_changes_nothing_but_the_scheme(scenario in scenarios(EVERYTHING)) {
        let (events, truth) = record(&scenario);
        let (plain, tls) = (run(&events, Limits::default()), run(&transform::over_tls(&events), Limits::default()));
        let (before, after) = (span_ids(&events, &truth), span_ids_with(&events, &truth, transform::plaintext_id));
        let renamed: BTreeMap<SpanId, SpanId> = before.iter().map(|(id, before)| (*before, after[id])).collect();
        let facts = |run: &Run, renamed: &dyn Fn(SpanId) -> SpanId| {
            let mut facts: Vec<_> = run.spans.iter().map(|span| {
                let times = (span.start, span.end, span.queue_nanos, span.accept_wait_nanos, span.phases);
                let http = (span.http.method().to_owned(), span.http.path().to_owned(), span.http.status_code, span.http.grpc_status);
                let parent = span.parent_span_id.map(renamed);
                (renamed(span.span_id), parent, times, http, span.outcome as u8, span.http.remote, span.http.untied)
            }).collect();
            facts.sort();
            facts
        };
        prop_assert_eq!(facts(&plain, &|id| renamed[&id]), facts(&tls, &|id| id));
        prop_assert!(tls.spans.iter().all(|span| span.http.scheme == "https"));
    }

    /// I11: moving everything in time changes no metric.
    #[test]
    fn metrics_do_not_know_the_time(scenario in scenarios(EVERYTHING), nanos in 0_u64..1 << 50) {
        let (events, _) = record(&scenario);
        let (early, late) = (run(&events, Limits::default()), run(&transform::shift_time(&events, nanos), Limits::default()));
        prop_assert_eq!(early.metrics, late.metrics);
        prop_assert_eq!(early.spans.len(), late.spans.len());
    }

    /// I12: what the RED table counts is what there was.
    #[test]
    fn counts_are_conserved(scenario in scenarios(EVERYTHING)) {
        let (events, truth) = record(&scenario);
        let red = run(&events, Limits::default()).red;
        let mut counted: BTreeMap<(String, SpanKind), u64> = BTreeMap::new();
        for row in &red.rows {
            let key = row.key.as_ref().expect("no overflow here");
            *counted.entry((key.service.to_string(), key.kind)).or_default() += row.count;
        }
        let mut expected = BTreeMap::new();
        truth.iter().for_each(|truth| *expected.entry((truth.service.to_string(), truth.kind)).or_default() += 1_u64);
        prop_assert_eq!(counted, expected);
    }

    /// Rules that guess may leave out, and may be wrong, but change no span's own facts.
    #[test]
    fn link_modes_change_links_only(scenario in scenarios(EVERYTHING)) {
        let (events, _) = record(&scenario);
        let facts = |mode| {
            let mut engine = Engine::new(EngineOptions { links: LinkOptions { mode, ..LinkOptions::default() }, ..EngineOptions::default() });
            events.iter().for_each(|event| engine.push(&event.as_event()));
            engine.finish();
            let mut facts: Vec<_> = std::iter::from_fn(|| engine.poll_output())
                .filter_map(|output| if let Output::Span(span) = output { Some((span.span_id, span.start, span.end)) } else { None })
                .collect();
            facts.sort_unstable();
            facts
        };
        prop_assert_eq!(facts(LinkMode::Off), facts(LinkMode::All));
        prop_assert_eq!(facts(LinkMode::Off), facts(LinkMode::Certain));
    }
}
