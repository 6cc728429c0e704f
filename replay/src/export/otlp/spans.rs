//! Spans as OpenTelemetry's SDK has them: with our ids and the tape's times, not with its own.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use redtape_core::{AttributeValue, LinkRule, Phase, Service, Span, WallNanos};

use crate::export::Replayed;

/// What is known of a span beside its attributes, and by semantic conventions has no name.
const QUEUE: &str = "redtape.queue_ns";
const INCOMPLETE: &str = "redtape.incomplete";

/// The name that spans and metrics are made by.
const SCOPE: &str = "redtape";

/// Turns spans into what is exported.
#[derive(Debug)]
pub(super) struct SpanMaker {
    replayed: Replayed,
    scope: InstrumentationScope,
}

impl SpanMaker {
    pub(super) fn new(replayed: Replayed) -> Self {
        let scope = InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build();
        Self { replayed, scope }
    }

    /// A span, and its phases behind it.
    pub(super) fn make(&self, span: &Span) -> impl Iterator<Item = SpanData> {
        let id = self.replayed.span_id(span.span_id);
        let parent = span.parent_span_id.map(|parent| self.replayed.span_id(parent));
        // The caller, which is another process.
        let remote = span.link.is_some_and(|link| matches!(link.rule, LinkRule::Wire | LinkRule::Connection));
        let mut attributes: Vec<_> = span.attributes().into_iter().map(key_value).collect();
        if let Some(queue) = span.queue_nanos {
            attributes.push(KeyValue::new(QUEUE, i64::try_from(queue).unwrap_or(i64::MAX)));
        }
        if span.incomplete() {
            attributes.push(KeyValue::new(INCOMPLETE, true));
        }
        attributes.sort_by(|a, b| a.key.cmp(&b.key));
        let whole = SpanData {
            parent_span_id: parent.map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.0)),
            parent_span_is_remote: remote,
            span_kind: match span.kind {
                redtape_core::SpanKind::Server => SpanKind::Server,
                redtape_core::SpanKind::Client => SpanKind::Client,
            },
            name: span.name().into_owned().into(),
            status: match span.status {
                redtape_core::Status::Unset => Status::Unset,
                redtape_core::Status::Error => Status::error(""),
            },
            attributes,
            ..self.bare(span, id, 0, span.duration_nanos())
        };
        let phases = span.phases().into_iter().flatten().map(|Phase { name, span_id, start, end }| SpanData {
            parent_span_id: SpanId::from_bytes(id.0),
            name: name.into(),
            ..self.bare(span, self.replayed.span_id(span_id), start.since(span.start), end.since(span.start))
        });
        std::iter::once(whole).chain(phases.collect::<Vec<_>>())
    }

    /// A span of the same trace, from `start` to `end` in nanoseconds after the start of `span`.
    fn bare(&self, span: &Span, id: redtape_core::SpanId, start: u64, end: u64) -> SpanData {
        let trace = TraceId::from_bytes(self.replayed.trace_id(span.trace_id).0);
        let first = self.replayed.time(span.start_wall).unix_nanos();
        let at = |after| system_time(WallNanos::new(first.saturating_add(after)));
        SpanData {
            span_context: SpanContext::new(
                trace,
                SpanId::from_bytes(id.0),
                TraceFlags::SAMPLED,
                false,
                TraceState::default(),
            ),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "".into(),
            start_time: at(start),
            end_time: at(end),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }

    /// A request of spans by their services.
    pub(super) fn request(
        &self,
        groups: impl IntoIterator<Item = (Arc<Service>, Vec<SpanData>)>,
    ) -> ExportTraceServiceRequest {
        let of_service = |(service, spans): (Arc<Service>, _)| {
            let resource = ResourceAttributesWithSchema::from(&self.resource(&service));
            group_spans_by_resource_and_scope(spans, &resource)
        };
        let mut resource_spans: Vec<_> = groups.into_iter().flat_map(of_service).collect();
        // The SDK keeps a resource's attributes in no order.
        for resource in resource_spans.iter_mut().filter_map(|spans| spans.resource.as_mut()) {
            resource.attributes.sort_by(|a, b| a.key.cmp(&b.key));
        }
        ExportTraceServiceRequest { resource_spans }
    }

    /// What a service's spans have in common.
    pub(super) fn resource(&self, service: &Service) -> Resource {
        let own = service.resource().into_iter().map(key_value);
        let run = self.replayed.attributes().into_iter().map(|(key, value)| KeyValue::new(key, value));
        Resource::builder_empty().with_attributes(own.chain(run)).build()
    }
}

/// Spans by the services they are of, in the order in which they came.
pub(super) fn by_service(spans: Vec<(Arc<Service>, SpanData)>) -> Vec<(Arc<Service>, Vec<SpanData>)> {
    let mut groups: Vec<(Arc<Service>, Vec<SpanData>)> = Vec::new();
    for (service, span) in spans {
        // Few services follow one another, so the latest is looked at first.
        match groups.iter_mut().rev().find(|(known, _)| Arc::ptr_eq(known, &service) || *known == service) {
            Some((_, spans)) => spans.push(span),
            None => groups.push((service, vec![span])),
        }
    }
    groups
}

/// What `exported` spans are, of which so many are those of `requests`, of `all` that the tape has; nothing, where each is a
/// span of the tape and the other way round.
pub(super) fn parts(requests: u64, exported: u64, all: u64) -> String {
    let (phases, others) = (exported.saturating_sub(requests), all.saturating_sub(requests));
    let of_requests = match phases {
        0 if others == 0 => return String::new(),
        0 => format!("{requests} of requests"),
        _ => format!("{requests} of requests and {phases} phases of them"),
    };
    if others == 0 { of_requests } else { format!("{of_requests}; {others} of other requests are not to be exported") }
}

/// About how many bytes a span takes in a request.
pub(super) fn size(span: &SpanData) -> usize {
    const REST: usize = 120;
    const ATTRIBUTE: usize = 12;
    let value = |value: &Value| if let Value::String(text) = value { text.as_str().len() } else { 8 };
    let attributes =
        span.attributes.iter().map(|KeyValue { key, value: of, .. }| ATTRIBUTE + key.as_str().len() + value(of));
    REST + span.name.len() + attributes.sum::<usize>()
}

fn key_value((key, value): (&'static str, AttributeValue<'_>)) -> KeyValue {
    match value {
        AttributeValue::Int(number) => KeyValue::new(key, number),
        AttributeValue::Text(text) => KeyValue::new(key, text.into_owned()),
    }
}

fn system_time(time: WallNanos) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(time.unix_nanos())
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn what_spans_are_adds_up_to_what_the_tape_has() {
        assert_eq!(parts(7, 7, 7), "");
        assert_eq!(parts(7, 9, 7), "7 of requests and 2 phases of them");
        assert_eq!(parts(7, 9, 10), "7 of requests and 2 phases of them; 3 of other requests are not to be exported");
        assert_eq!(parts(0, 0, 10), "0 of requests; 10 of other requests are not to be exported");
    }
}
