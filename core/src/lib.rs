//! redtape's core: turns a tape of syscall-level events into spans and RED metrics.
//!
//! Core is a pure function of a tape and a configuration. It has no clock, no I/O, no threads, no randomness and reads
//! no environment, so that the same tape gives the same bytes on any machine. See `ARCHITECTURE.md` at the root of the
//! repository for the map and the invariants.
#![forbid(unsafe_code)]

mod assemble;
mod attributes;
pub mod config;
mod count;
mod diagnostic;
pub mod edit;
mod engine;
mod event;
mod exchange;
mod facts;
mod filter;
mod http1;
mod http2;
mod ids;
mod kubernetes;
mod language;
mod limits;
mod link;
pub mod metric;
mod ranges;
mod route;
mod sample;
mod service;
mod shown;
mod signals;
mod span;
pub mod synth;
pub mod tape;
mod target;
mod time;
pub mod tls;
mod track;

pub use assemble::Phases;
pub use attributes::{Attribute, AttributeValue, KEYS as SPAN_ATTRIBUTES, Phase};
pub use count::Count;
pub use diagnostic::DiagnosticKind;
pub use engine::{Engine, EngineOptions, Merge, Output, Part, Stage1, Stage2, Totals, Watermark};
pub use event::{
    Body, BodyBuf, Data, DataFlags, Direction, Event, EventBuf, Ext, Loss, LossCause, Shutdown, Source, Stamp,
};
pub use exchange::{
    Exchange, Finding, Message, Outcome, Request, RequestHead, Response, Started, TraceContext, Version, What,
};
pub use facts::{ConnInfo, Endpoint, EntryExt, ProcessInfo, Role, TlsLibrary};
pub use filter::Filter;
pub use ids::{ConnKey, IdHasher, Origin, ProcKey, SpanId, Tgid, Tid, TraceId};
pub use kubernetes::{Container, ContainerRef, Pod, PodFact};
pub use limits::{Limits, SHARDS};
pub use link::{Horizon, LinkMode, LinkOptions, Linked, Linker};
pub use ranges::{Ranges, RangesBuf};
pub use route::{
    Class, Decorator, Evidence, Explanation, LeftOut, PatternAt, PatternError, PatternTrouble, Proposal,
    ProposedPattern, RouteDecision, RouteError, RouteFinding, RouteLint, RouteRule, SegmentExplanation, SegmentReason,
};
pub use sample::Sampler;
pub use shown::ShownAttributes;
pub use signals::{Protocols, Signals, TraceOptions};
pub use span::{HttpFields, Ignored, Link, LinkRule, Service, Span, SpanKind, Status, Strength};
pub use time::{ClockAnchor, ClockMap, MonoNanos, WallNanos};
pub use track::{Shard, shard_of};
