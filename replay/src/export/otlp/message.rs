//! OTLP's messages as bytes: protobuf, and JSON where that is asked for.

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;

use super::settings::Signal;

/// What cannot be turned into the other form.
pub(super) type Error = Box<dyn std::error::Error + Send + Sync>;

/// A request in protobuf, as JSON.
pub(super) fn request_json(signal: Signal, request: &[u8]) -> Result<Vec<u8>, Error> {
    Ok(match signal {
        Signal::Traces => serde_json::to_vec(&ExportTraceServiceRequest::decode(request)?)?,
        Signal::Metrics => serde_json::to_vec(&ExportMetricsServiceRequest::decode(request)?)?,
    })
}

/// An answer in JSON, as protobuf. Receivers may leave an empty one out altogether.
pub(super) fn answer_from_json(signal: Signal, answer: &[u8]) -> Result<Vec<u8>, Error> {
    if answer.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let answer: serde_json::Value = serde_json::from_slice(answer)?;
    let partial = answer.get("partialSuccess");
    let error_message =
        partial.and_then(|partial| partial.get("errorMessage")?.as_str()).unwrap_or_default().to_owned();
    // Numbers of 64 bits are texts in OTLP's JSON, but not all receivers know.
    let number = |key| {
        let number = partial?.get(key)?;
        number.as_i64().or_else(|| number.as_str()?.parse().ok())
    };
    Ok(match signal {
        Signal::Traces => {
            let partial =
                ExportTracePartialSuccess { rejected_spans: number("rejectedSpans").unwrap_or(0), error_message };
            ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        }
        Signal::Metrics => {
            let rejected_data_points = number("rejectedDataPoints").unwrap_or(0);
            let partial = ExportMetricsPartialSuccess { rejected_data_points, error_message };
            ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        }
    })
}

/// How many of what was sent the receiver rejected, and why (OTLP, "Partial Success"). An answer that is none says that all
/// was taken, as its status does.
pub(super) fn rejected(signal: Signal, answer: &[u8]) -> (u64, String) {
    let (rejected, message) = match signal {
        Signal::Traces => {
            let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default().partial_success;
            let partial = answer.unwrap_or_default();
            (partial.rejected_spans, partial.error_message)
        }
        Signal::Metrics => {
            let answer = ExportMetricsServiceResponse::decode(answer).unwrap_or_default().partial_success;
            let partial = answer.unwrap_or_default();
            (partial.rejected_data_points, partial.error_message)
        }
    };
    (u64::try_from(rejected).unwrap_or(0), message)
}

/// The message of a `google.rpc.Status`, which is how receivers tell of errors.
pub(super) fn status_message(answer: &[u8], json: bool) -> Option<String> {
    if json {
        let status: serde_json::Value = serde_json::from_slice(answer).ok()?;
        return Some(status.get("message")?.as_str()?.to_owned());
    }
    let message = tonic_types::Status::decode(answer).ok()?.message;
    Some(message).filter(|message| !message.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_rejected_is_counted() {
        let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "too old".into() };
        let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
        let bytes = answer.encode_to_vec();
        assert_eq!(rejected(Signal::Traces, &bytes), (3, "too old".into()));
        let json = br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}"#;
        assert_eq!(answer_from_json(Signal::Traces, json).unwrap(), bytes);
        for answer in [&b""[..], b"\xff\xff\xff"] {
            assert_eq!(rejected(Signal::Traces, answer), (0, String::new()));
        }
        for answer in [&b""[..], b"{}", b"{\"partialSuccess\":{}}"] {
            let answer = answer_from_json(Signal::Metrics, answer).unwrap();
            assert_eq!(rejected(Signal::Metrics, &answer), (0, String::new()));
        }
    }

    #[test]
    fn errors_are_told_as_status() {
        let status = tonic_types::Status { code: 3, message: "no tenant".into(), details: Vec::new() };
        assert_eq!(status_message(&status.encode_to_vec(), false).as_deref(), Some("no tenant"));
        assert_eq!(status_message(br#"{"code":3,"message":"no tenant"}"#, true).as_deref(), Some("no tenant"));
        assert_eq!(status_message(b"Not Found", false), None);
    }
}
