//! The exporters to receivers. Each has a thread, and a queue with a bound before it.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_otlp::{RetryPolicy, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use prost::Message as _;
use redtape_core::config::{Config, OtelTracesExport};
use redtape_core::metric::Snapshot;
use redtape_core::{Service, Span, WallNanos};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver as Queue, Sender, channel};
use tokio::time::{Instant, timeout_at};

use super::courier::{Counter, Courier, Duty};
use super::deltas::Deltas;
use super::metrics::{MetricMaker, points};
use super::owners::{Owners, Services};
use super::points::MetricForm;
use super::settings::Receiver;
use super::spans::{SpanMaker, by_service, parts, size};
use crate::export::exports::{Exporter, Sent};
use crate::export::steps::Steps;
use crate::export::{Counted, Replayed};
use crate::failure::{Failure, Kind, Result};
use crate::sink::Now;

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

/// A queue, the thread that empties it, and what brings away what is in it.
struct Line<T> {
    queue: Sender<T>,
    thread: JoinHandle<()>,
    courier: Arc<Courier>,
    timeout: Duration,
    live: bool,
    /// How many units it was given.
    given: Cell<u64>,
}

impl<T: Send + 'static> Line<T> {
    fn new<W: Future<Output = ()>>(
        receiver: &Receiver,
        capacity: usize,
        duty: Duty,
        work: impl FnOnce(Queue<T>, Arc<Courier>) -> W + Send + 'static,
    ) -> Result<Self> {
        let unable =
            |error: std::io::Error| Failure::message(Kind::Environment, format!("no thread to export with: {error}"));
        let runtime: Runtime = Builder::new_current_thread().enable_all().build().map_err(unable)?;
        let live = duty.live;
        let courier = {
            let _within = runtime.enter();
            Arc::new(Courier::new(receiver, duty)?)
        };
        let (queue, entries) = channel(capacity);
        let own = Arc::clone(&courier);
        let name = format!("otlp-{:?}", receiver.signal).to_lowercase();
        let thread =
            thread::Builder::new().name(name).spawn(move || runtime.block_on(work(entries, own))).map_err(unable)?;
        Ok(Self { queue, thread, courier, timeout: receiver.timeout, live, given: Cell::new(0) })
    }

    /// Puts `item`, which is of `count` units, into the queue, and tells whether it is there. Where that is full a replay
    /// waits; a live run goes on without.
    fn push(&self, item: T, count: u64) -> bool {
        let counters = self.courier.counters();
        self.look();
        self.given.set(self.given.get() + count);
        if !self.live {
            let sent = self.queue.blocking_send(item).is_ok();
            if !sent {
                counters.failed(count);
            }
            return sent;
        }
        let sent = self.queue.try_send(item);
        match &sent {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => counters.dropped(count),
            Err(TrySendError::Closed(_)) => counters.failed(count),
        }
        sent.is_ok()
    }

    /// Tells the counters how much waits.
    fn look(&self) {
        self.courier.counters().look_at(&self.queue);
    }

    /// Waits until all is sent, or it is clear that it cannot be, and tells what became of it.
    fn finish(self) -> Sent {
        self.courier.hurry(self.timeout);
        drop(self.queue);
        let ended = self.thread.join();
        let counters = self.courier.counters();
        let Counted { exported, failed, dropped, .. } = counters.counted();
        // What a thread that panicked had and what waited for it: that it panicked was told already.
        let lost = self.given.get().saturating_sub(exported + failed + dropped);
        counters.failed(lost);
        let failed = failed + lost;
        let error = match self.courier.error() {
            _ if ended.is_err() => "the sending thread failed".into(),
            error if error.is_empty() && dropped > 0 => "the queue was full".into(),
            error => error,
        };
        let what = self.courier.name().into();
        Sent { what, arrived: exported, failed: failed + dropped, error, ..Sent::default() }
    }
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
        let line = Line::new(receiver, batching.queue.get(), duty, move |queue, courier| async move {
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
    let counter = Counter(courier);
    // The endpoint is a name: where requests go is the courier's.
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint("http://receiver/v1/traces")
        .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
        .with_retry_policy(RetryPolicy::disabled())
        .with_http_client(counter.clone())
        .build();
    let mut exporter = match exporter {
        Ok(exporter) => exporter,
        Err(error) => {
            while queue.recv().await.is_some() {
                counter.0.count(Err(error.to_string()), 1);
            }
            return;
        }
    };
    while let Some(batch) = next_batch(&mut queue, batching).await {
        for (service, spans) in by_service(batch) {
            let count = spans.len() as u64;
            exporter.set_resource(&maker.resource(&service));
            let exported = exporter.export(spans).await.map_err(|error| error.to_string());
            let answer = counter.take_answer().unwrap_or_else(|| exported.map(|()| Bytes::new()));
            counter.0.count(answer, count);
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
        let line = Line::new(receiver, SNAPSHOTS, duty, move |mut queue: Queue<Step>, courier| async move {
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
        // What the queue had no room for is part of what comes next.
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
        if self.steps.is_due(at) {
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
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use redtape_core::config::Config;

    use super::*;
    use crate::export::{ExportCounters, OtlpArgs, receivers};

    /// A line to a port where nobody is, that gives up at once, with room for one; and what it counts.
    fn line(live: bool) -> (Line<u64>, Arc<ExportCounters>) {
        line_to(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port(), live)
    }

    /// The same, to `port`.
    fn line_to(port: u16, live: bool) -> (Line<u64>, Arc<ExportCounters>) {
        let args = OtlpArgs {
            otlp_traces: Some(format!("http://127.0.0.1:{port}")),
            otlp_retry: Some(Duration::ZERO),
            ..OtlpArgs::default()
        };
        let receiver = receivers(&args, &Config::default()).unwrap().remove(0);
        let duty = Duty { live, quiet: true, ..Duty::default() };
        let counters = Arc::clone(&duty.counters);
        let work = |mut queue: Queue<u64>, courier: Arc<Courier>| async move {
            while let Some(count) = queue.recv().await {
                courier.bring(Bytes::from_static(b"x"), count).await;
            }
        };
        (Line::new(&receiver, 1, duty, work).unwrap(), counters)
    }

    #[test]
    fn a_replay_waits_where_the_queue_is_full() {
        let (line, counters) = line(false);
        (1..=20).for_each(|count| {
            line.push(count, count);
        });
        let sent = line.finish();
        assert_eq!((sent.arrived, sent.failed), (0, 210));
        assert!(sent.error.contains("Connection refused"), "{}", sent.error);
        let Counted { failed, dropped, requests, retried, .. } = counters.traces.counted();
        assert_eq!((failed, dropped, requests, retried), (210, 0, 20, 0));
    }

    #[test]
    fn a_receiver_that_wants_rest_is_left_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (line, counters) = line_to(listener.local_addr().unwrap().port(), false);
        let answering = thread::spawn(move || {
            let mut connection = listener.accept().unwrap().0;
            let _ = connection.read(&mut [0; 4096]).unwrap();
            let answer = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n";
            connection.write_all(answer).unwrap();
        });
        (1..=20).for_each(|count| {
            line.push(count, count);
        });
        let sent = line.finish();
        answering.join().unwrap();
        assert_eq!((sent.failed, &*sent.error), (210, "it answered 503 Service Unavailable"));
        assert_eq!(counters.traces.counted().requests, 1);
    }

    /// Some requests of a live run to `port`, that are tried for an hour, and the first of them was in vain when the run is to
    /// end; with the number of tries.
    fn end_in_vain(port: u16, left: Duration) -> (Sent, u64) {
        let args = OtlpArgs {
            otlp_traces: Some(format!("http://127.0.0.1:{port}")),
            otlp_retry: Some(Duration::from_secs(3600)),
            ..OtlpArgs::default()
        };
        let receiver = receivers(&args, &Config::default()).unwrap().remove(0);
        let duty = Duty { live: true, quiet: true, ..Duty::default() };
        let (counters, ending) = (Arc::clone(&duty.counters), duty.ending.clone());
        let work = |mut queue: Queue<u64>, courier: Arc<Courier>| async move {
            while let Some(count) = queue.recv().await {
                courier.bring(Bytes::from_static(b"x"), count).await;
            }
        };
        let line = Line::new(&receiver, 8, duty, work).unwrap();
        (0..3).for_each(|_| {
            line.push(1, 1);
        });
        while counters.traces.counted().requests == 0 {
            thread::yield_now();
        }
        ending.within(left);
        let sent = line.finish();
        (sent, counters.traces.counted().requests)
    }

    #[test]
    fn a_run_that_is_to_end_has_one_more_try_for_each_request() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (sent, requests) = end_in_vain(port, Duration::from_secs(3600));
        assert_eq!((sent.arrived, sent.failed), (0, 3));
        assert!(sent.error.contains("Connection refused"), "{}", sent.error);
        // The first may have been tried more often before.
        assert!(requests >= 4, "{requests}");
    }

    #[test]
    fn the_reason_is_told_also_of_what_was_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let mut connection = listener.accept().unwrap().0;
            let _ = connection.read(&mut [0; 4096]).unwrap();
            connection.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").unwrap();
            // From here on, it says nothing.
            listener.incoming().chain(std::iter::once(Ok(connection.try_clone().unwrap()))).for_each(std::mem::forget);
        });
        let (sent, _) = end_in_vain(port, Duration::from_millis(300));
        assert_eq!((sent.failed, &*sent.error), (3, "it answered 503 Service Unavailable"));
    }

    #[test]
    fn a_thread_that_fails_loses_nothing_in_silence() {
        let (mut line, counters) = line(false);
        let (queue, mut entries) = channel(4);
        line.queue = queue;
        [3, 4].into_iter().for_each(|count| {
            line.push(count, count);
        });
        line.thread = thread::spawn(move || assert!(entries.blocking_recv().is_none(), "as the test wants"));
        let sent = line.finish();
        assert_eq!((sent.arrived, sent.failed, &*sent.error), (0, 7, "the sending thread failed"));
        assert_eq!(counters.traces.counted().failed, 7);
    }

    #[test]
    fn a_live_run_goes_on_and_counts() {
        let (line, counters) = line(true);
        // Far more than are sent meanwhile, and none is lost without being counted.
        (0..10_000).for_each(|_| {
            line.push(1, 1);
        });
        let sent = line.finish();
        assert_eq!((sent.arrived, sent.failed), (0, 10_000));
        let Counted { failed, dropped, .. } = counters.traces.counted();
        assert!(dropped > 0 && failed + dropped == 10_000, "{failed} {dropped}");
    }
}
