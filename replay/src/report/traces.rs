//! Which traces the page shows, of however many there are, in bounded memory.
//!
//! A trace is put together from its spans as they come, and is judged when it is complete: at the end of the tape, or when
//! [`HELD_MAX`] spans are held and it has waited longest for another span. It is shown if it is among the slowest, one of the
//! first with an error of its kind, or of the sample of its kind; a kind is what its root span is called, in which service.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use redtape_core::{Span, SpanId, Status, TraceId};

use super::graph::Edges;

/// Spans that are held until their traces are complete.
const HELD_MAX: usize = 50_000;
/// Spans of one trace that are kept; a page shows these.
const TRACE_SPANS_MAX: usize = 200;
/// The slowest traces.
pub(super) const SLOWEST: usize = 20;
/// Traces with errors, of each kind, and in all.
pub(super) const ERRORS: (usize, usize) = (3, 40);
/// Other traces of each kind, and kinds.
pub(super) const SAMPLE: (usize, usize) = (2, 60);
/// Spans of all traces on the page.
const SHOWN_SPANS_MAX: usize = 6_000;

/// Why a trace is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    Slowest,
    Error,
    Sample,
}

impl Why {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Slowest => "slowest",
            Self::Error => "error",
            Self::Sample => "sample",
        }
    }
}

/// A complete trace.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) id: TraceId,
    /// By start; at most [`TRACE_SPANS_MAX`].
    pub(super) spans: Vec<Span>,
    /// How many more there are.
    pub(super) left_out: usize,
    /// From the first start to the last end, in nanoseconds.
    pub(super) duration: u64,
    pub(super) errors: usize,
    /// Where it came among all traces.
    ordinal: u64,
}

/// Service and name of a root span.
type TraceKind = (String, String);

/// Puts traces together and chooses.
#[derive(Debug, Default)]
pub(super) struct Traces {
    open: BTreeMap<TraceId, Open>,
    /// The open ones, by when they last got a span.
    waiting: BTreeMap<u64, TraceId>,
    held: usize,
    /// How many spans came.
    spans: u64,
    /// How many traces were complete.
    complete: u64,
    chosen: Chosen,
    edges: Edges,
}

#[derive(Debug, Default)]
struct Open {
    spans: Vec<Span>,
    touched: u64,
}

#[derive(Debug, Default)]
struct Chosen {
    slowest: BTreeMap<(Reverse<u64>, u64), Rc<Trace>>,
    errors: BTreeMap<TraceKind, Vec<Rc<Trace>>>,
    /// Those of each kind with the lowest ids, which are as good as random.
    sample: BTreeMap<TraceKind, BTreeMap<(TraceId, u64), Rc<Trace>>>,
}

/// What was chosen.
pub(super) struct ChosenTraces {
    /// By start, each with the reasons for which it is shown.
    pub(super) shown: Vec<(Rc<Trace>, BTreeSet<Why>)>,
    /// How many traces there are.
    pub(super) traces: u64,
    /// How many spans they have.
    pub(super) spans: u64,
    pub(super) edges: Edges,
}

impl Traces {
    /// Takes a span.
    pub(super) fn observe(&mut self, span: &Span) {
        self.spans += 1;
        let open = self.open.entry(span.trace_id).or_default();
        self.waiting.remove(&open.touched);
        open.touched = self.spans;
        open.spans.push(span.clone());
        self.waiting.insert(self.spans, span.trace_id);
        self.held += 1;
        while self.held > HELD_MAX {
            self.close_first();
        }
    }

    fn close_first(&mut self) {
        let Some((_, id)) = self.waiting.pop_first() else { return };
        let Some(open) = self.open.remove(&id) else { return };
        self.held -= open.spans.len();
        self.edges.observe(&open.spans);
        self.complete += 1;
        self.chosen.offer(Trace::new(id, open.spans, self.complete));
    }

    /// What is shown in the end.
    pub(super) fn finish(mut self) -> ChosenTraces {
        while !self.waiting.is_empty() {
            self.close_first();
        }
        let shown = self.chosen.finish();
        ChosenTraces { shown, traces: self.complete, spans: self.spans, edges: self.edges }
    }
}

impl Trace {
    fn new(id: TraceId, mut spans: Vec<Span>, ordinal: u64) -> Self {
        spans.sort_by_key(|span| (span.start, Reverse(span.end), span.span_id));
        let first = spans.first().map(|span| span.start).unwrap_or_default();
        let last = spans.iter().map(|span| span.end).max().unwrap_or_default();
        let errors = spans.iter().filter(|span| span.status == Status::Error).count();
        let left_out = spans.len().saturating_sub(TRACE_SPANS_MAX);
        spans.truncate(TRACE_SPANS_MAX);
        spans.shrink_to_fit();
        Self { id, spans, left_out, duration: last.since(first), errors, ordinal }
    }

    /// The earliest span.
    pub(super) fn root(&self) -> Option<&Span> {
        self.spans.first()
    }

    fn kind(&self) -> TraceKind {
        self.root().map(|root| (root.service.name.to_string(), root.name().into_owned())).unwrap_or_default()
    }

    /// The spans as a tree, depth first, by start: each with its depth.
    pub(super) fn tree(&self) -> Vec<(&Span, usize)> {
        let known: BTreeSet<SpanId> = self.spans.iter().map(|span| span.span_id).collect();
        let mut children: BTreeMap<Option<SpanId>, Vec<usize>> = BTreeMap::new();
        for (at, span) in self.spans.iter().enumerate() {
            let parent = span.parent_span_id.filter(|parent| known.contains(parent) && *parent != span.span_id);
            children.entry(parent).or_default().push(at);
        }
        let mut tree = Vec::with_capacity(self.spans.len());
        // Spans whose parents are each other's are in no tree, so every span gets its turn as a root, and at most one.
        let roots = children.remove(&None).unwrap_or_default();
        let mut next: Vec<(usize, usize)> = (0..self.spans.len()).rev().map(|at| (at, 0)).collect();
        next.extend(roots.into_iter().rev().map(|at| (at, 0)));
        let mut seen = BTreeSet::new();
        while let Some((at, depth)) = next.pop() {
            let Some(span) = self.spans.get(at).filter(|_| seen.insert(at)) else { continue };
            tree.push((span, depth));
            let children = children.remove(&Some(span.span_id)).unwrap_or_default();
            next.extend(children.into_iter().rev().map(|at| (at, depth + 1)));
        }
        tree
    }
}

impl Chosen {
    fn offer(&mut self, trace: Trace) {
        let (kind, trace) = (trace.kind(), Rc::new(trace));
        self.slowest.insert((Reverse(trace.duration), trace.ordinal), Rc::clone(&trace));
        if self.slowest.len() > SLOWEST {
            self.slowest.pop_last();
        }
        if trace.errors > 0 {
            let all: usize = self.errors.values().map(Vec::len).sum();
            let (of_kind, in_all) = ERRORS;
            if all < in_all && self.errors.get(&kind).map_or(0, Vec::len) < of_kind {
                self.errors.entry(kind.clone()).or_default().push(Rc::clone(&trace));
            }
        }
        let (of_kind, kinds) = SAMPLE;
        if self.sample.len() < kinds || self.sample.contains_key(&kind) {
            let sample = self.sample.entry(kind).or_default();
            sample.insert((trace.id, trace.ordinal), trace);
            if sample.len() > of_kind {
                sample.pop_last();
            }
        }
    }

    fn finish(self) -> Vec<(Rc<Trace>, BTreeSet<Why>)> {
        let slowest = self.slowest.into_values().map(|trace| (Why::Slowest, trace));
        let errors = self.errors.into_values().flatten().map(|trace| (Why::Error, trace));
        let sample = self.sample.into_values().flat_map(BTreeMap::into_values).map(|trace| (Why::Sample, trace));
        let mut shown: BTreeMap<u64, (Rc<Trace>, BTreeSet<Why>)> = BTreeMap::new();
        let mut room = SHOWN_SPANS_MAX;
        for (why, trace) in slowest.chain(errors).chain(sample) {
            if let Some((_, all)) = shown.get_mut(&trace.ordinal) {
                all.insert(why);
            } else if trace.spans.len() <= room {
                room -= trace.spans.len();
                shown.insert(trace.ordinal, (trace, BTreeSet::from([why])));
            }
        }
        let mut shown: Vec<_> = shown.into_values().collect();
        shown.sort_by_key(|(trace, _)| (trace.root().map(|root| root.start), trace.ordinal));
        shown
    }
}
