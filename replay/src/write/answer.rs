//! How a request was answered, in a word or two.

use std::borrow::Cow;

use redtape_core::Span;

/// How the request of a span was answered.
pub(crate) fn answer(span: &Span) -> String {
    let code = if span.is_grpc() { span.http.grpc_status } else { span.http.status_code };
    let error = span.error_type().map(Cow::into_owned);
    worded(span.incomplete(), span.is_grpc(), code.map(|code| code.to_string()), error)
}

/// The same of what a span says: whether it is of a gRPC call, its status of gRPC or else HTTP, and its error.
pub(crate) fn worded(incomplete: bool, grpc: bool, code: Option<String>, error: Option<String>) -> String {
    match code {
        _ if incomplete => "incomplete".into(),
        Some(code) if grpc => format!("gRPC {code}"),
        Some(code) => code,
        None => error.unwrap_or_else(|| "no status".into()),
    }
}
