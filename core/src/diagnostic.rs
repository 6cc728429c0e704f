//! What went wrong, counted: malformed input never fails a replay.

/// A kind of trouble in the input, or a bound that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DiagnosticKind {
    /// A pairing or a link had several candidates and was left out.
    AmbiguousLink,
    /// Bytes on a connection that are no protocol known here; the connection is not followed.
    NotHttp,
    /// A TCP connection that carries TLS. Its plaintext, where the recorder had it, is a connection of its own.
    Tls,
    /// What was known of the TCP connection that carries a TLS connection contradicts itself: it is not known.
    ContradictedTie,
    /// A request or response head that cannot be read.
    MalformedHead,
    /// A head longer than the limit.
    HeadTooLong,
    /// A message whose length headers contradict each other (a request smuggling shape); the connection is not followed.
    AmbiguousLength,
    /// A chunked body whose framing is broken.
    MalformedChunk,
    /// A frame of HTTP/2 that cannot be one: of a wrong size, on a wrong stream, or out of place.
    MalformedFrame,
    /// A header block of HTTP/2 that is no HPACK.
    MalformedHeaderBlock,
    /// A header block of HTTP/2 that refers to fields of earlier ones, which nobody has seen.
    UnknownHeaders,
    /// A peer may use a larger table of header fields than is kept.
    HeaderTableOverflow,
    /// The header fields of an idle connection of HTTP/2 were forgotten, because connections held too much.
    HeaderTableEvicted,
    /// A stream of HTTP/2 was given up, because too many were open on its connection.
    StreamOverflow,
    /// A request on a stream that was used before.
    StreamReuse,
    /// A response without its request.
    ResponseWithoutRequest,
    /// Bytes of a stream are missing.
    StreamGap,
    /// The same bytes came again and were ignored.
    DuplicateBytes,
    /// An event of a connection that has no dictionary entry.
    UnknownConnection,
    /// Events later than the recorder's reorder window.
    LateEvent,
    /// A connection was forgotten, because there were too many.
    ConnectionEvicted,
    /// A request was given up, because too many waited for a response on its connection.
    PipelineOverflow,
    /// Out-of-order bytes were dropped, because too many waited on one connection.
    ReorderOverflow,
    /// Arrival times were dropped, because too many waited on one connection.
    ArrivalOverflow,
    /// What was found on connections was dropped, because too much was found while tape time stood still.
    StandstillOverflow,
    /// A span was let go before its links were decided, because too many waited.
    SpanHeldTooLong,
    /// A span was let go before its links were decided, because the horizon had passed.
    LinkHorizon,
    /// A request could not be linked, because too many were under way.
    LinkTableFull,
    /// A series was merged into the overflow series, because there were too many.
    SeriesOverflow,
    /// A route was not learned, because there were too many.
    RouteOverflow,
    /// A reading of the clocks was left out, because there were too many recordings: wall times of that one are unknown.
    ClockOverflow,
    /// A configuration that came while the tape ran cannot be used: the one before it stays.
    ConfigRejected,
    /// A process was forgotten, because there were too many.
    ProcessEvicted,
    /// A span was left out of a signal, because its process exports that signal by itself.
    OtelInstrumented,
    /// A pod was forgotten, because there were too many.
    PodEvicted,
    /// A span was left out, because it depends on the pod of its process, which nobody had told of by then.
    PodUnknown,
}

impl DiagnosticKind {
    /// All of them, in their order.
    pub const ALL: [Self; 36] = [
        Self::AmbiguousLink,
        Self::NotHttp,
        Self::Tls,
        Self::ContradictedTie,
        Self::MalformedHead,
        Self::HeadTooLong,
        Self::AmbiguousLength,
        Self::MalformedChunk,
        Self::MalformedFrame,
        Self::MalformedHeaderBlock,
        Self::UnknownHeaders,
        Self::HeaderTableOverflow,
        Self::HeaderTableEvicted,
        Self::StreamOverflow,
        Self::StreamReuse,
        Self::ResponseWithoutRequest,
        Self::StreamGap,
        Self::DuplicateBytes,
        Self::UnknownConnection,
        Self::LateEvent,
        Self::ConnectionEvicted,
        Self::PipelineOverflow,
        Self::ReorderOverflow,
        Self::ArrivalOverflow,
        Self::StandstillOverflow,
        Self::SpanHeldTooLong,
        Self::LinkHorizon,
        Self::LinkTableFull,
        Self::SeriesOverflow,
        Self::RouteOverflow,
        Self::ClockOverflow,
        Self::ConfigRejected,
        Self::ProcessEvicted,
        Self::OtelInstrumented,
        Self::PodEvicted,
        Self::PodUnknown,
    ];

    /// A short name, as in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AmbiguousLink => "ambiguous_link",
            Self::NotHttp => "not_http",
            Self::Tls => "tls",
            Self::ContradictedTie => "contradicted_tie",
            Self::MalformedHead => "malformed_head",
            Self::HeadTooLong => "head_too_long",
            Self::AmbiguousLength => "ambiguous_length",
            Self::MalformedChunk => "malformed_chunk",
            Self::MalformedFrame => "malformed_frame",
            Self::MalformedHeaderBlock => "malformed_header_block",
            Self::UnknownHeaders => "unknown_headers",
            Self::HeaderTableOverflow => "header_table_overflow",
            Self::HeaderTableEvicted => "header_table_evicted",
            Self::StreamOverflow => "stream_overflow",
            Self::StreamReuse => "stream_reuse",
            Self::ResponseWithoutRequest => "response_without_request",
            Self::StreamGap => "stream_gap",
            Self::DuplicateBytes => "duplicate_bytes",
            Self::UnknownConnection => "unknown_connection",
            Self::LateEvent => "late_event",
            Self::ConnectionEvicted => "connection_evicted",
            Self::PipelineOverflow => "pipeline_overflow",
            Self::ReorderOverflow => "reorder_overflow",
            Self::ArrivalOverflow => "arrival_overflow",
            Self::StandstillOverflow => "standstill_overflow",
            Self::SpanHeldTooLong => "span_held_too_long",
            Self::LinkHorizon => "link_horizon",
            Self::LinkTableFull => "link_table_full",
            Self::SeriesOverflow => "series_overflow",
            Self::RouteOverflow => "route_overflow",
            Self::ClockOverflow => "clock_overflow",
            Self::ConfigRejected => "config_rejected",
            Self::ProcessEvicted => "process_evicted",
            Self::OtelInstrumented => "otel_instrumented",
            Self::PodEvicted => "pod_evicted",
            Self::PodUnknown => "pod_unknown",
        }
    }

    /// What it means, in a sentence for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::AmbiguousLink => "A pairing or a link had several candidates and was left out.",
            Self::NotHttp => "Bytes on a connection that are no protocol known here; the connection is not followed.",
            Self::Tls => {
                "A TCP connection that carries TLS. Its plaintext, where the recorder had it, is a connection of \
                 its own."
            }
            Self::ContradictedTie => {
                "What was known of the TCP connection that carries a TLS connection contradicts itself: it is not \
                 known."
            }
            Self::MalformedHead => "A request or response head that cannot be read.",
            Self::HeadTooLong => "A head longer than the limit.",
            Self::AmbiguousLength => {
                "A message whose length headers contradict each other (a request smuggling shape); the connection \
                 is not followed."
            }
            Self::MalformedChunk => "A chunked body whose framing is broken.",
            Self::MalformedFrame => {
                "A frame of HTTP/2 that cannot be one: of a wrong size, on a wrong stream, or out of place."
            }
            Self::MalformedHeaderBlock => "A header block of HTTP/2 that is no HPACK.",
            Self::UnknownHeaders => {
                "A header block of HTTP/2 that refers to fields of earlier ones, which nobody has seen."
            }
            Self::HeaderTableOverflow => "A peer may use a larger table of header fields than is kept.",
            Self::HeaderTableEvicted => {
                "The header fields of an idle connection of HTTP/2 were forgotten, because connections held too \
                 much."
            }
            Self::StreamOverflow => "A stream of HTTP/2 was given up, because too many were open on its connection.",
            Self::StreamReuse => "A request on a stream that was used before.",
            Self::ResponseWithoutRequest => "A response without its request.",
            Self::StreamGap => "Bytes of a stream are missing.",
            Self::DuplicateBytes => "The same bytes came again and were ignored.",
            Self::UnknownConnection => "An event of a connection that has no dictionary entry.",
            Self::LateEvent => "Events later than the recorder's reorder window.",
            Self::ConnectionEvicted => "A connection was forgotten, because there were too many.",
            Self::PipelineOverflow => {
                "A request was given up, because too many waited for a response on its connection."
            }
            Self::ReorderOverflow => "Out-of-order bytes were dropped, because too many waited on one connection.",
            Self::ArrivalOverflow => "Arrival times were dropped, because too many waited on one connection.",
            Self::StandstillOverflow => {
                "What was found on connections was dropped, because too much was found while tape time stood \
                 still."
            }
            Self::SpanHeldTooLong => "A span was let go before its links were decided, because too many waited.",
            Self::LinkHorizon => "A span was let go before its links were decided, because the horizon had passed.",
            Self::LinkTableFull => "A request could not be linked, because too many were under way.",
            Self::SeriesOverflow => "A series was merged into the overflow series, because there were too many.",
            Self::RouteOverflow => "A route was not learned, because there were too many.",
            Self::ClockOverflow => {
                "A reading of the clocks was left out, because there were too many recordings: wall times of that \
                 one are unknown."
            }
            Self::ConfigRejected => {
                "A configuration that came while the tape ran cannot be used: the one before it stays."
            }
            Self::ProcessEvicted => "A process was forgotten, because there were too many.",
            Self::OtelInstrumented => {
                "A span was left out of a signal, because its process exports that signal by itself."
            }
            Self::PodEvicted => "A pod was forgotten, because there were too many.",
            Self::PodUnknown => {
                "A span was left out, because it depends on the pod of its process, which nobody had told of by \
                 then."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_all() {
        // The last of them stands at the end, and each in its place: so none is missing in between.
        assert!(DiagnosticKind::ALL.iter().enumerate().all(|(at, kind)| *kind as usize == at));
        assert_eq!(DiagnosticKind::ALL.last(), Some(&DiagnosticKind::PodUnknown));
    }
}
