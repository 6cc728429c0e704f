//! Stage 2: takes findings in their total order and does everything that looks across connections.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::otlp;
use super::run::Output;
use super::services::{Services, Wanted};
use crate::assemble::{self, Phases};
use crate::config::{ConfigText, Discovery, Reloadable};
use crate::diagnostic::DiagnosticKind;
use crate::event::{Body, Event, LossCause};
use crate::exchange::{Exchange, Finding, What};
use crate::facts::ProcessInfo;
use crate::filter::Filter;
use crate::ids::{ConnKey, Origin, ProcKey};
use crate::kubernetes::Pod;
use crate::limits::Limits;
use crate::link::{LinkOptions, Linked, Linker};
use crate::metric::{MetricsConfig, Registry};
use crate::route::Decorator;
use crate::shown::ShownAttributes;
use crate::signals::TraceOptions;
use crate::span::Span;
use crate::tape::Meta;
use crate::time::{ClockAnchor, ClockMap, MonoNanos, WallNanos};

/// Programs that are named of each kind of what is not seen.
const NAMED_MAX: usize = 16;

/// What the engine goes by.
#[derive(Debug)]
pub struct EngineOptions {
    /// How spans are linked.
    pub links: LinkOptions,
    /// When a span has the children `in queue` and `processing`.
    pub phases: Phases,
    /// Bounds of memory.
    pub limits: Limits,
    /// Which metrics there are.
    pub metrics: MetricsConfig,
    /// Gives routes.
    pub decorator: Decorator,
    /// Names services by the rule that chose them.
    pub discovery: Discovery,
    /// Keeps spans, or leaves them out of spans and metrics.
    pub filter: Filter,
    /// Whether configurations on the tape take effect: not, where someone asks what another one would make of the tape.
    pub reload: bool,
    /// Which spans are sampled.
    pub traces: TraceOptions,
    /// Which attributes of spans are shown.
    pub shown: ShownAttributes,
    /// Leaves out of a signal what processes export of it by themselves (`exclude_otel_instrumented_services`).
    pub exclude_instrumented: bool,
    /// Every span comes out, also what is filtered and ignored: for a first look at a tape.
    pub everything: bool,
    /// Whether spans come out at all, as [`Output::Span`]; they count in metrics either way.
    pub spans: bool,
    /// Nanoseconds of tape time between two [`Output::Metrics`]; `None` for never.
    pub metrics_step_nanos: Option<u64>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            links: LinkOptions::default(),
            phases: Phases::default(),
            limits,
            metrics: MetricsConfig::default(),
            decorator: Decorator::with_defaults(&limits),
            discovery: Discovery::default(),
            filter: Filter::default(),
            reload: true,
            traces: TraceOptions::default(),
            shown: ShownAttributes::default(),
            exclude_instrumented: true,
            everything: false,
            spans: true,
            metrics_step_nanos: None,
        }
    }
}

/// Counts of what went in and out. Spans are the ones that `ignored_patterns` leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events, dictionary entries not counted.
    pub events: u64,
    /// Events that came later than the recorder's reorder window.
    pub late: u64,
    /// Spans.
    pub spans: u64,
    /// Spans of which only a part is known.
    pub incomplete: u64,
    /// Spans with status `error`.
    pub errors: u64,
    /// What was wrong, and how often.
    pub diagnostics: BTreeMap<DiagnosticKind, u64>,
    /// Lost records by cause; bytes, where the tape is damaged.
    pub lost: BTreeMap<LossCause, u64>,
    /// Connections in TLS whose plaintext the recorder saw. Those that carry TLS are counted as [`DiagnosticKind::Tls`].
    pub tls_seen: u64,
    /// Programs that use TLS whose plaintext the recorder does not see; 16 of them at most.
    pub opaque_tls: BTreeSet<String>,
    /// Programs that use io_uring, whose reads and writes the recorder does not see; 16 of them at most.
    pub io_uring: BTreeSet<String>,
    /// The time of the first event.
    pub first: Option<MonoNanos>,
    /// Where the tape is; in the end, where it has ended.
    pub last: MonoNanos,
}

impl Totals {
    fn process(&mut self, info: &ProcessInfo) {
        for (used, names) in [(info.opaque_tls, &mut self.opaque_tls), (info.io_uring, &mut self.io_uring)] {
            if used && names.len() < NAMED_MAX {
                names.insert(info.comm.clone());
            }
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Stage2 {
    linker: Linker,
    services: Services,
    clocks: FxHashMap<Origin, ClockMap>,
    clock_limit: usize,
    first_clock: Option<Origin>,
    decorator: Decorator,
    filter: Filter,
    limits: Limits,
    reload: bool,
    /// The configuration that came last.
    config: Option<ConfigText>,
    traces: TraceOptions,
    shown: Arc<ShownAttributes>,
    exclude_instrumented: bool,
    everything: bool,
    spans: bool,
    /// Paths that the decorator left out, as far as they are counted.
    left_out: u64,
    registry: Registry,
    phases: Phases,
    step: Option<u64>,
    due: Option<MonoNanos>,
    totals: Totals,
    outputs: VecDeque<Output>,
}

impl Stage2 {
    /// Stage 2 before the first event.
    pub fn new(options: EngineOptions) -> Self {
        Self {
            linker: Linker::new(options.links, &options.limits),
            services: Services::new(options.discovery, &options.limits),
            clocks: FxHashMap::default(),
            clock_limit: options.limits.origins,
            first_clock: None,
            decorator: options.decorator,
            filter: options.filter,
            limits: options.limits,
            reload: options.reload,
            config: None,
            traces: options.traces,
            shown: Arc::new(options.shown),
            exclude_instrumented: options.exclude_instrumented,
            everything: options.everything,
            spans: options.spans,
            left_out: 0,
            registry: Registry::new(&options.metrics, &options.limits),
            phases: options.phases,
            step: options.metrics_step_nanos,
            due: None,
            totals: Totals::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes what META of a tape says of hosts, before the tape's events.
    pub fn meta(&mut self, meta: &Meta) {
        meta.hosts().for_each(|(origin, host)| self.services.host(origin, host));
    }

    /// Takes a fact that is not about a connection: a clock, a process, a loss, time itself. Facts come in the tape's
    /// order, each after the findings from before `now`, where the tape is then.
    pub fn fact(&mut self, event: &Event<'_>, now: MonoNanos) {
        self.pass(now);
        match event.body {
            Body::Clock { origin, anchor } => {
                self.linker.recorded(origin);
                self.clock(origin, &anchor, now);
            }
            Body::Process(info) => {
                self.totals.process(info);
                if self.services.process(info) {
                    self.diagnostic(DiagnosticKind::ProcessEvicted, 1, None, now);
                }
            }
            Body::Loss(loss) => {
                *self.totals.lost.entry(loss.cause).or_default() += loss.count;
                self.registry.lost(loss.cause, loss.count);
                self.linker.lost();
            }
            Body::Enrich(facts) => self.enrich(facts, now),
            Body::Tick => self.advance(now),
            _ => {}
        }
    }

    /// Takes facts from outside in.
    fn enrich(&mut self, facts: &[(String, String)], now: MonoNanos) {
        if let Some(text) = ConfigText::from_facts(facts).filter(|_| self.reload) {
            self.configure(text, now);
        } else if let Some(pod) = Pod::from_facts(facts.iter().map(|(key, value)| (&**key, &**value)))
            && self.services.pod(pod)
        {
            self.diagnostic(DiagnosticKind::PodEvicted, 1, None, now);
        }
    }

    /// Goes by another configuration from now on, as far as a running engine can. One that cannot be used changes nothing.
    fn configure(&mut self, text: ConfigText, now: MonoNanos) {
        // The files of a rotated set each say what holds.
        if self.config.as_ref() == Some(&text) {
            return;
        }
        let loaded = text.load("").ok();
        match loaded.and_then(|(config, _)| config.reloadable(self.decorator.evidence(), &self.limits).ok()) {
            None => self.diagnostic(DiagnosticKind::ConfigRejected, 1, None, now),
            Some(Reloadable { decorator, discovery, filter, traces, shown, exclude_instrumented }) => {
                let before = std::mem::replace(&mut self.decorator, Decorator::with_defaults(&self.limits));
                self.decorator = decorator.after(before);
                self.left_out = self.left_out.min(self.decorator.left_out());
                self.filter = filter;
                (self.traces, self.shown) = (traces, Arc::new(shown));
                self.exclude_instrumented = exclude_instrumented;
                self.services.reload(discovery);
            }
        }
        self.config = Some(text);
    }

    /// Takes a reading of the clocks in. The recordings that come first are kept: a later reading would bend their times.
    fn clock(&mut self, origin: Origin, anchor: &ClockAnchor, now: MonoNanos) {
        if self.clocks.len() < self.clock_limit || self.clocks.contains_key(&origin) {
            self.clocks.entry(origin).or_default().add(anchor);
            self.first_clock.get_or_insert(origin);
        } else {
            self.diagnostic(DiagnosticKind::ClockOverflow, 1, None, now);
        }
    }

    /// Counts events that went by, the tape being at `first` with the first of them. In any order.
    pub fn count(&mut self, events: u64, late: u64, first: MonoNanos) {
        self.totals.events += events;
        self.totals.late += late;
        self.totals.first = Some(self.totals.first.map_or(first, |before| before.min(first)));
    }

    /// Tape time has come to `now`: tells the metrics where a step of theirs is over. Of several steps in which nothing
    /// happened, it tells the first and the last.
    fn pass(&mut self, now: MonoNanos) {
        self.totals.last = self.totals.last.max(now);
        let Some(step) = self.step.filter(|&step| step > 0) else { return };
        let first = *self.due.get_or_insert(now.plus(step));
        if now < first {
            return;
        }
        let last = first.plus(now.since(first) / step * step);
        let snapshot = Arc::new(self.registry.snapshot());
        for due in [Some(first), Some(last).filter(|&last| last > first)].into_iter().flatten() {
            self.outputs.push_back(Output::Metrics { at: self.wall(due), snapshot: Arc::clone(&snapshot) });
        }
        self.due = Some(last.plus(step));
    }

    /// The wall time of `moment` by the clock of the first recording that has one.
    pub fn wall(&self, moment: MonoNanos) -> WallNanos {
        self.first_clock.and_then(|origin| self.clocks.get(&origin)).copied().unwrap_or_default().wall(moment)
    }

    /// Takes the next finding in the total order.
    pub fn take(&mut self, finding: Finding) {
        let Finding { at, conn, pos, what } = finding;
        self.pass(at);
        match what {
            What::Opened(info) => {
                self.totals.tls_seen += u64::from(info.tls.is_some());
                self.linker.opened(&info);
            }
            What::Learned(info) => self.linker.opened(&info),
            What::Started(started) => self.linker.started(&started),
            What::NotAlone => self.linker.not_alone(conn, pos),
            What::Ended(exchange) => self.linker.ended(exchange, at),
            What::Diagnostic(kind, count) => {
                if kind == DiagnosticKind::StandstillOverflow {
                    self.linker.lost();
                }
                self.diagnostic(kind, count, Some(conn), at);
            }
            What::Closed => self.linker.closed(conn, at),
        }
        self.advance(at);
    }

    /// The tape is over, at `now`.
    pub fn finish(&mut self, now: MonoNanos) {
        self.totals.last = now;
        self.linker.finish();
        self.collect(now);
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The metrics so far.
    pub const fn metrics(&self) -> &Registry {
        &self.registry
    }

    /// Counts of what went in and out.
    pub const fn totals(&self) -> &Totals {
        &self.totals
    }

    fn advance(&mut self, at: MonoNanos) {
        self.linker.advance(at);
        self.collect(at);
    }

    fn collect(&mut self, at: MonoNanos) {
        while let Some(linked) = self.linker.poll() {
            self.emit(linked);
        }
        while let Some(kind) = self.linker.poll_diagnostic() {
            self.diagnostic(kind, 1, None, at);
        }
    }

    fn emit(&mut self, linked: Linked) {
        let (process, flag) = (linked.exchange.process, linked.flag);
        let (service, wanted) = self.services.service(process);
        match wanted {
            Wanted::Yes => {}
            Wanted::No => return,
            Wanted::Undecided => {
                let Exchange { conn, end, .. } = &*linked.exchange;
                return self.diagnostic(DiagnosticKind::PodUnknown, 1, Some(conn.key), *end);
            }
        }
        let clock = self.clocks.get(&linked.exchange.conn.origin).copied().unwrap_or_default();
        let mut span = assemble::span(linked, service, Arc::clone(&self.shown), &clock, self.phases);
        if span.has_path() {
            let (service, method) = (&span.service.name, span.http.method());
            let decision = self.decorator.decorate(service, span.kind, method, span.http.path());
            (span.route, span.ignored) = (decision.route, decision.ignored);
        } else {
            span.ignored = self.decorator.ignored(span.http.path());
        }
        if !self.everything && !self.filter.keeps(&span) {
            return;
        }
        self.count_left_out(span.end);
        self.leave_out(process, &mut span);
        span.sampled = self.traces.samples(&span, flag);
        self.count_span(&span);
        self.registry.observe(&span);
        if self.spans && (self.everything || !span.ignored.traces) {
            self.outputs.push_back(Output::Span(Box::new(span)));
        }
    }

    /// Takes a span out of the signals that its service is not to have, or has by itself.
    fn leave_out(&mut self, process: ProcKey, span: &mut Span) {
        let signals = &span.service.signals;
        span.ignored.traces |= !signals.traces;
        span.ignored.metrics |= !signals.metrics;
        if !self.exclude_instrumented {
            return;
        }
        if let Some(signal) = otlp::signal(span) {
            self.services.instrumented(process, signal);
        }
        let own = self.services.own_signals(process);
        if (own.traces && !span.ignored.traces) || (own.metrics && !span.ignored.metrics) {
            self.diagnostic(DiagnosticKind::OtelInstrumented, 1, None, span.end);
        }
        span.ignored.traces |= own.traces;
        span.ignored.metrics |= own.metrics;
    }

    /// Counts the paths that routes could not be learned from, said once for all that came with one span.
    fn count_left_out(&mut self, at: MonoNanos) {
        let new = self.decorator.left_out() - self.left_out;
        if new > 0 {
            self.left_out += new;
            self.diagnostic(DiagnosticKind::RouteOverflow, new, None, at);
        }
    }

    fn count_span(&mut self, span: &Span) {
        if span.ignored.traces {
            return;
        }
        self.totals.spans += 1;
        self.totals.incomplete += u64::from(span.incomplete());
        self.totals.errors += u64::from(span.status == crate::span::Status::Error);
    }

    fn diagnostic(&mut self, kind: DiagnosticKind, count: u64, conn: Option<ConnKey>, at: MonoNanos) {
        let total = self.totals.diagnostics.entry(kind).or_default();
        // A table that is full stays so for long, and so do processes: that is said once, and counted each time.
        let lasting = matches!(kind, DiagnosticKind::LinkTableFull | DiagnosticKind::OtelInstrumented);
        let said = lasting && *total > 0;
        *total += count;
        self.registry.diagnostic(kind, count);
        if !said {
            self.outputs.push_back(Output::Diagnostic { kind, conn, at });
        }
    }
}
