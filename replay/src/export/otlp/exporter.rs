//! The exporters to receivers.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_otlp::{RetryPolicy, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use prost::Message as _;
use redtape_core::config::{Config, OtelTracesExport};
use redtape_core::metric::Snapshot;
use redtape_core::{Service, Span, WallNanos};
use tokio::time::{Instant, timeout_at};

use super::client::Client;
use super::deltas::Deltas;
use super::grpc::Grpc;
use super::http::OverHttp;
use super::metrics::{MetricMaker, points};
use super::owners::{Owners, Services};
use super::points::MetricForm;
use super::settings::{Receiver, Signal, Wire};
use super::spans::{SpanMaker, by_service, parts, size};
use crate::export::exports::{Exporter, Sent};
use crate::export::send::{BoxError, Courier, Destination, Line, Queue, Way};
use crate::export::steps::Steps;
use crate::export::{Duty, ExportCounters, Replayed, SignalCounters};
use crate::failure::Result;
use crate::sink::Now;
use crate::url::without_credentials;

/// Bytes of a request at most, about: receivers of gRPC take 4 MiB by default.
const REQUEST_BYTES: usize = 2 << 20;
/// Snapshots that may wait.
const SNAPSHOTS: usize = 4;

/// How spans are put together for requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batching {
    /// Spans of one request at most.
    pub(crate) spans: usize,
    /// How long a span waits for others.
    pub(crate) wait: Duration,
    /// Spans that may wait to be sent.
    pub(crate) queue: NonZeroUsize,
}

impl Batching {
    /// As the configuration has it.
    pub(crate) fn of(config: &Config) -> Self {
        let OtelTracesExport { batch_max_size, batch_timeout, max_queue_size, .. } = &config.otel_traces_export;
        let queue = NonZeroUsize::new(*max_queue_size).unwrap_or(NonZeroUsize::MIN);
        Self { spans: (*batch_max_size).max(1), wait: batch_timeout.0, queue }
    }
}

/// A line to `receiver`.
///
/// # Errors
///
/// The receiver's certificates cannot be used, or there is no thread.
fn line<T: Send + 'static, W: Future<Output = ()>>(
    receiver: &Receiver,
    capacity: usize,
    duty: Duty,
    work: impl FnOnce(Queue<T>, Arc<Courier>) -> W + Send + 'static,
) -> Result<Line<T>> {
    let (thread, counters): (_, fn(&ExportCounters) -> &SignalCounters) = match receiver.signal {
        Signal::Traces => ("otlp-traces", |counters| &counters.traces),
        Signal::Metrics => ("otlp-metrics", |counters| &counters.metrics),
    };
    let name = format!("{} to {}", receiver.signal.units(), without_credentials(&receiver.url));
    let destination = Destination { name, counters, timeout: receiver.timeout, backoff: receiver.backoff };
    let way = || -> std::result::Result<Box<dyn Way>, BoxError> {
        Ok(match receiver.wire {
            Wire::Grpc => Box::new(Grpc::new(receiver)?),
            Wire::Protobuf | Wire::Json => Box::new(OverHttp::new(receiver)?),
        })
    };
    Line::new(thread, capacity, (destination, duty), way, work)
}

/// Spans to a receiver.
pub(crate) struct OtlpSpans {
    line: Line<(Arc<Service>, SpanData)>,
    maker: Arc<SpanMaker>,
    /// Spans that it was given, each of which may have phases.
    requests: u64,
}

impl OtlpSpans {
    /// An exporter to `receiver`, with times and ids as in the replay.
    ///
    /// # Errors
    ///
    /// The receiver's certificates cannot be used, or there is no thread.
    pub(crate) fn new(receiver: &Receiver, batching: Batching, replayed: Replayed, duty: Duty) -> Result<Self> {
        let maker = Arc::new(SpanMaker::new(replayed));
        let resources = Arc::clone(&maker);
        let line = line(receiver, batching.queue.get(), duty, move |queue, courier| async move {
            send_spans(queue, courier, &resources, batching).await;
        })?;
        Ok(Self { line, maker, requests: 0 })
    }
}

impl Exporter for OtlpSpans {
    fn span(&mut self, span: &Span) -> Result {
        if !span.sampled {
            return Ok(());
        }
        self.requests += 1;
        for data in self.maker.make(span) {
            self.line.push((Arc::clone(&span.service), data), 1);
        }
        Ok(())
    }

    fn attend(&mut self, _: Now<'_>) -> Result {
        self.line.look();
        Ok(())
    }

    fn finish(self: Box<Self>, now: Now<'_>, _: &Arc<Snapshot>) -> Result<Sent> {
        let sent = self.line.finish();
        Ok(Sent { parts: parts(self.requests, sent.arrived + sent.failed, now.totals.spans), ..sent })
    }
}

/// Sends spans in batches, by the services they are of, until the queue is closed and empty.
async fn send_spans(
    mut queue: Queue<(Arc<Service>, SpanData)>,
    courier: Arc<Courier>,
    maker: &SpanMaker,
    batching: Batching,
) {
    let client = Client::new(Arc::clone(&courier));
    // The endpoint is a name: where requests go is the courier's.
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint("http://receiver/v1/traces")
        .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
        .with_retry_policy(RetryPolicy::disabled())
        .with_http_client(client.clone())
        .build();
    let mut exporter = match exporter {
        Ok(exporter) => exporter,
        Err(error) => {
            while queue.recv().await.is_some() {
                courier.count(Err(error.to_string()), 1);
            }
            return;
        }
    };
    while let Some(batch) = next_batch(&mut queue, batching).await {
        for (service, spans) in by_service(batch) {
            let count = spans.len() as u64;
            exporter.set_resource(&maker.resource(&service));
            let exported = exporter.export(spans).await.map_err(|error| error.to_string());
            let answer = client.take_latest().unwrap_or_else(|| exported.map(|()| Bytes::new()));
            courier.count(answer, count);
        }
    }
}

/// The next spans to be sent; `None` at the end.
async fn next_batch(
    queue: &mut Queue<(Arc<Service>, SpanData)>,
    batching: Batching,
) -> Option<Vec<(Arc<Service>, SpanData)>> {
    let mut batch = vec![queue.recv().await?];
    let mut bytes = batch.iter().map(|(_, span)| size(span)).sum::<usize>();
    let due = Instant::now() + batching.wait;
    while batch.len() < batching.spans && bytes < REQUEST_BYTES {
        let Ok(Some(next)) = timeout_at(due, queue.recv()).await else { break };
        bytes += size(&next.1);
        batch.push(next);
    }
    Some(batch)
}

/// All metrics, as they were at a time.
struct Step {
    /// Since when they count, and when.
    times: (WallNanos, WallNanos),
    snapshot: Arc<Snapshot>,
    services: Arc<Services>,
}

/// Metrics to a receiver.
pub(crate) struct OtlpMetrics {
    line: Line<Step>,
    /// Since when everything counts.
    start: WallNanos,
    /// What was exported last, where only what is new is exported.
    deltas: Option<Deltas>,
    owners: Owners,
    steps: Steps,
}

impl OtlpMetrics {
    /// An exporter to `receiver` of what counts since `start`, recorded on `host`; as `form` says.
    ///
    /// # Errors
    ///
    /// The receiver's certificates cannot be used, or there is no thread.
    pub(crate) fn new(
        receiver: &Receiver,
        (start, host): (WallNanos, &str),
        form: MetricForm,
        replayed: Replayed,
        duty: Duty,
    ) -> Result<Self> {
        let maker = MetricMaker::new(replayed, form, host);
        let line = line(receiver, SNAPSHOTS, duty, move |mut queue: Queue<Step>, courier| async move {
            while let Some(Step { times, snapshot, services }) = queue.recv().await {
                for (request, points) in maker.make(times, &snapshot, &services) {
                    courier.bring(request.encode_to_vec().into(), points).await;
                }
            }
        })?;
        let deltas = form.delta.then(Deltas::default);
        Ok(Self { line, start, deltas, owners: Owners::default(), steps: Steps::new(form.interval) })
    }

    fn push(&mut self, at: WallNanos, snapshot: &Arc<Snapshot>) {
        let services = self.owners.services();
        let (start, new) = match &self.deltas {
            Some(deltas) => deltas.since(self.start, snapshot),
            None => (self.start, Arc::clone(snapshot)),
        };
        let points = points(&new);
        let pushed = self.line.push(Step { times: (start, at), snapshot: new, services }, points);
        if let Some(deltas) = self.deltas.as_mut().filter(|_| pushed) {
            deltas.exported(at, snapshot);
        }
    }
}

impl Exporter for OtlpMetrics {
    fn begin(&mut self, started: WallNanos) {
        self.start = started;
    }

    fn span(&mut self, span: &Span) -> Result {
        self.owners.see(&span.service);
        Ok(())
    }

    fn metrics(&mut self, at: WallNanos, snapshot: &Arc<Snapshot>) -> Result {
        // What is new and has no room now is part of what comes next, so that nothing is lost before the end.
        if self.steps.is_due(at) && (self.deltas.is_none() || self.line.has_room()) {
            self.push(at, snapshot);
        }
        Ok(())
    }

    fn attend(&mut self, _: Now<'_>) -> Result {
        self.line.look();
        Ok(())
    }

    fn finish(mut self: Box<Self>, now: Now<'_>, last: &Arc<Snapshot>) -> Result<Sent> {
        self.push(now.wall, last);
        Ok(self.line.finish())
    }

    fn metrics_step(&self) -> Option<Duration> {
        Some(self.steps.interval())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use redtape_core::MonoNanos;
    use redtape_core::metric::{Family, FamilyKind, Scale, Series, Value};
    use redtape_core::{Engine, EngineOptions};

    use super::*;
    use crate::export::{OtlpArgs, receivers};

    fn snapshot(count: u128) -> Arc<Snapshot> {
        let series = Series {
            values: Vec::new(),
            overflow: false,
            born: 1,
            updated: MonoNanos::ZERO,
            value: Value::Counter(count),
            parts: Vec::new(),
        };
        let family = Family {
            name: "calls",
            otel_name: "calls",
            help: "",
            kind: FamilyKind::Counter,
            scale: Scale::None,
            labels: Vec::new(),
            series: vec![series],
        };
        Arc::new(Snapshot { families: vec![family], observed: 1 })
    }

    #[test]
    fn what_is_new_while_the_queue_is_full_is_told_later_and_not_lost() {
        let args = OtlpArgs { otlp_metrics: Some("http://127.0.0.1:4318".into()), ..OtlpArgs::default() };
        let receiver = receivers(&args, &Config::default()).unwrap().remove(0);
        let duty = Duty { live: true, quiet: true, ..Duty::default() };
        let counters = Arc::clone(&duty.counters);
        let ((go, wait), (tell, told)) = (mpsc::channel(), mpsc::channel());
        let line = line(&receiver, 1, duty, move |mut queue: Queue<Step>, courier| async move {
            let () = wait.recv().unwrap();
            while let Some(step) = queue.recv().await {
                tell.send(step.snapshot.families[0].series[0].value.clone()).unwrap();
                courier.count(Ok(Bytes::new()), 1);
            }
        });
        let mut exporter = Box::new(OtlpMetrics {
            line: line.unwrap(),
            start: WallNanos::new(0),
            deltas: Some(Deltas::default()),
            owners: Owners::default(),
            steps: Steps::new(Duration::from_nanos(1)),
        });
        for count in 1..=5 {
            exporter.metrics(WallNanos::new(u64::try_from(count).unwrap()), &snapshot(count)).unwrap();
        }
        go.send(()).unwrap();
        while counters.metrics.counted().exported == 0 {
            thread::yield_now();
        }
        let engine = Engine::new(EngineOptions::default());
        let now = Now { wall: WallNanos::new(6), metrics: engine.metrics(), totals: engine.totals() };
        let sent = exporter.finish(now, &snapshot(6)).unwrap();
        assert_eq!((sent.arrived, sent.failed, &*sent.error), (2, 0, ""));
        assert_eq!(told.iter().collect::<Vec<_>>(), [Value::Counter(1), Value::Counter(5)]);
        assert_eq!(counters.metrics.counted().dropped, 0);
    }
}
