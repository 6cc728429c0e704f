//! What is answered to a request.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, VARY};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use redtape_core::MonoNanos;
use redtape_core::metric::{Exemplar, Resolution, Text, TextFormat, write_text};
use tokio::sync::Semaphore;

use super::internal::Internal;
use super::negotiate;
use super::protobuf::Protobuf;
use super::window::{Shown, Window};
use crate::export::Replayed;

/// Texts that are made at the same time; the others wait.
const AT_ONCE: usize = 2;

/// Whether all is well, for readiness.
const HEALTH: &str = "/healthz";
/// Whether the engine goes on, for liveness: what it waits for does not get well by its being started anew.
const LIVENESS: &str = "/livez";

/// One thing that is served.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) path: String,
    pub(super) what: What,
    /// How often it was asked for.
    pub(super) requests: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The metrics of the tape.
    Metrics,
    /// What redtape says of itself.
    Internal,
}

/// All that answers are made of.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) window: Arc<Window>,
    pub(super) internal: Internal,
    /// Series that were not updated for so long, in nanoseconds of tape time, are left out.
    pub(super) ttl: Option<u64>,
    /// What times and ids exemplars get.
    pub(super) replayed: Replayed,
    /// How fine native histograms are; `None` for none.
    pub(super) native: Option<Resolution>,
    pub(super) permits: Semaphore,
}

impl Site {
    pub(super) fn new(
        window: Arc<Window>,
        internal: Internal,
        ttl: Option<u64>,
        replayed: Replayed,
        native: Option<Resolution>,
    ) -> Self {
        Self { window, internal, ttl, replayed, native, permits: Semaphore::new(AT_ONCE) }
    }

    /// Answers what came to a listener with these pages.
    pub(super) async fn answer(
        self: &Arc<Self>,
        pages: &[Page],
        method: &Method,
        uri: &Uri,
        head: &HeaderMap,
    ) -> Response {
        let path = uri.path();
        let page = pages.iter().find(|page| page.path == path);
        let health = match path {
            HEALTH => Some(self.window.check()),
            LIVENESS => Some(self.window.check_engine()),
            _ => None,
        };
        if page.is_none() && health.is_none() {
            return (StatusCode::NOT_FOUND, hint(pages)).into_response();
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")], "only GET\n").into_response();
        }
        let Some(page) = page else {
            return match health {
                Some(Err(reason)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
                Some(Ok(said)) if !said.is_empty() => format!("ok: {said}\n").into_response(),
                _ => "ok\n".into_response(),
            };
        };
        page.requests.fetch_add(1, Ordering::Relaxed);
        let shown = self.window.look().await;
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        let what = page.what;
        let (accept, gzip) = (text(head, &ACCEPT), negotiate::gzip(&text(head, &ACCEPT_ENCODING)));
        // Many series take a while, in which others may ask for the health.
        let site = Arc::clone(self);
        let made = tokio::task::spawn_blocking(move || site.page(what, shown.as_deref(), &accept, gzip)).await;
        made.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }

    fn page(&self, what: What, shown: Option<&Shown>, accept: &str, gzip: bool) -> Response {
        const PROTOBUF: &str =
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        if let (What::Metrics, Some(native), true) = (what, self.native, negotiate::protobuf(accept)) {
            return respond(PROTOBUF, self.protobuf(native, shown), gzip);
        }
        let mut text = String::new();
        let (format, written) = match what {
            What::Internal => (TextFormat::OpenMetrics, self.internal.write(&mut text, shown)),
            What::Metrics => {
                let format = negotiate::format(accept);
                (format, self.write_metrics(&mut text, shown, format))
            }
        };
        if written.is_err() {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        let kind = match format {
            TextFormat::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            TextFormat::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        };
        respond(kind, text.into_bytes(), gzip)
    }

    fn protobuf(&self, native: Resolution, shown: Option<&Shown>) -> Vec<u8> {
        let exemplars = |exemplar: &Exemplar| self.exemplar(exemplar);
        match shown {
            Some(Shown { at, snapshot, .. }) => {
                Protobuf { native, since: self.since(*at), exemplars: &exemplars }.write(snapshot)
            }
            None => Vec::new(),
        }
    }

    /// As whoever looks for its span finds it.
    fn exemplar(&self, exemplar: &Exemplar) -> Exemplar {
        Exemplar {
            trace_id: self.replayed.trace_id(exemplar.trace_id),
            span_id: self.replayed.span_id(exemplar.span_id),
            at: self.replayed.time(exemplar.at),
            ..*exemplar
        }
    }

    /// Series that were last updated before this are not shown.
    fn since(&self, at: MonoNanos) -> MonoNanos {
        self.ttl.map_or(MonoNanos::ZERO, |ttl| at.minus(ttl))
    }

    fn write_metrics(&self, out: &mut String, shown: Option<&Shown>, format: TextFormat) -> std::fmt::Result {
        let exemplar = |exemplar: &Exemplar| self.exemplar(exemplar);
        match shown {
            Some(Shown { at, snapshot, .. }) => {
                write_text(out, snapshot, &Text { format, since: self.since(*at), exemplars: Some(&exemplar) })
            }
            None => write_text(out, &Default::default(), &Text::plain(format)),
        }
    }
}

fn text(head: &HeaderMap, name: &HeaderName) -> String {
    let values = head.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

fn respond(kind: &'static str, body: Vec<u8>, gzip: bool) -> Response {
    let headers = [(CONTENT_TYPE, kind), (VARY, "Accept, Accept-Encoding")];
    match gzip.then(|| compressed(&body)) {
        Some(Ok(bytes)) => (headers, [(CONTENT_ENCODING, "gzip")], Body::from(bytes)).into_response(),
        _ => (headers, body).into_response(),
    }
}

fn compressed(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// What is served instead.
fn hint(pages: &[Page]) -> String {
    let paths: Vec<_> = pages.iter().map(|page| page.path.as_str()).chain([HEALTH, LIVENESS]).collect();
    format!("not found; there is {}\n", paths.join(" and "))
}
