//! OpenTelemetry's exporter of spans, on a courier's way.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};

use crate::export::send::Courier;

/// What became of a request: the answer, or why there is none.
type Outcome = Result<Bytes, String>;

/// The way of the spans' requests: OpenTelemetry's exporter makes them, and takes this for its HTTP client. Where they go, with
/// which headers and how often is the courier's to decide; so is what the answer means, which the exporter keeps to itself.
#[derive(Clone, Debug)]
pub(super) struct Client {
    courier: Arc<Courier>,
    latest: Arc<Mutex<Option<Outcome>>>,
}

impl Client {
    /// Sends with `courier`.
    pub(super) fn new(courier: Arc<Courier>) -> Self {
        Self { courier, latest: Arc::default() }
    }

    /// What became of the latest request; `None` if there was none.
    pub(super) fn take_latest(&self) -> Option<Outcome> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let outcome = self.courier.deliver(request.into_body()).await;
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome.clone());
        Ok(Response::new(outcome?))
    }
}
