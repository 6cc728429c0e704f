//! Sends requests one after the other, on a thread of its own: order matters to the receiver.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prost::Message as _;
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{self, Receiver};

use super::message::{TimeSeries, WriteRequest};
use super::target::Target;
use crate::export::advice::{Trust, is_about_tls, told};
use crate::export::otlp::{retry_after, short};
use crate::export::{Counted, Duty, ExportCounters, SignalCounters};
use crate::failure::{Failure, Kind, Result};

/// Requests that may wait. With those of [`REQUEST_SAMPLES`] each that is about 16 MiB.
const QUEUE: usize = 16;

/// Samples of one request, roughly; what Prometheus itself sends is of this size.
const REQUEST_SAMPLES: usize = 2_000;

/// The first wait before a request is repeated; each further one is twice as long, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How much of an answer is read, in bytes: its first line says why, or it says nothing.
const ANSWER_MAX: usize = 4 << 10;

/// The longest rest that is granted: no clock ends before it is over.
const LONGEST_REST: Duration = Duration::from_secs(24 * 60 * 60);

/// Where certificates are named.
const TRUST: Trust = Trust { issuer: "SSL_CERT_FILE=FILE in the environment", own: None };

/// How long what waits may take after Ctrl-C.
const GRACE: Duration = Duration::from_secs(2);

/// How soon Ctrl-C is noticed.
const NOTICE: Duration = Duration::from_millis(50);

/// How to send.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) target: Target,
    pub(super) duty: Duty,
    /// What is sent where, as messages name it.
    pub(super) name: String,
}

/// The thread, and the way to it.
#[derive(Debug)]
pub(super) struct Sender {
    queue: mpsc::Sender<(WriteRequest, u64)>,
    thread: JoinHandle<()>,
    live: bool,
    /// How many samples it was given.
    given: Cell<u64>,
    counters: Arc<ExportCounters>,
    error: Arc<Mutex<String>>,
    name: String,
}

impl Sender {
    /// Begins.
    ///
    /// # Errors
    ///
    /// No client can be made, or no thread.
    pub(super) fn start(settings: Settings) -> Result<Self> {
        let unable = |error: &dyn std::fmt::Display| {
            Failure::message(Kind::Environment, format!("remote write cannot begin: {error}"))
        };
        // Whoever has installed one before has installed the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .default_headers(settings.target.headers.clone())
            // Followed, a POST becomes a GET that arrives as nothing, and headers go to who was not named.
            .redirect(Policy::none())
            .timeout(settings.target.timeout)
            .build()
            .map_err(|error| unable(&error))?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| unable(&error))?;
        let (queue, requests) = mpsc::channel(QUEUE);
        let (live, error, name) = (settings.duty.live, Arc::default(), settings.name.clone());
        let counters = Arc::clone(&settings.duty.counters);
        let courier = Courier {
            client,
            settings,
            error: Arc::clone(&error),
            down: false,
            said: false,
            rest: None,
            deadline: Cell::new(None),
        };
        let thread = std::thread::Builder::new()
            .name("remote-write".into())
            .spawn(move || courier.run(&runtime, requests))
            .map_err(|error| unable(&error))?;
        Ok(Self { queue, thread, live, given: Cell::new(0), counters, error, name })
    }

    /// Sends these, in as many requests as it takes.
    pub(super) fn send(&self, mut series: Vec<TimeSeries>) {
        while !series.is_empty() {
            let rest = series.split_off(series.len().min(REQUEST_SAMPLES));
            let samples = series.iter().map(|series| series.samples.len() as u64).sum();
            let request = (WriteRequest { timeseries: series }, samples);
            self.given.set(self.given.get() + samples);
            // A thread that has panicked takes nothing any more.
            let sent = match self.live {
                true => self.queue.try_send(request).is_ok(),
                false => self.queue.blocking_send(request).is_ok(),
            };
            if !sent {
                self.counters.remote_write.dropped(samples);
                *lock(&self.error) = "the queue was full".into();
            }
            series = rest;
        }
    }

    /// Tells the counters how much waits.
    pub(super) fn look(&self) {
        self.counters.remote_write.look_at(&self.queue);
    }

    /// Sends what waits. Says what was sent where, and why the last of what did not arrive did not.
    pub(super) fn finish(self) -> (String, String) {
        drop(self.queue);
        let ended = self.thread.join();
        // What a thread that panicked had and what waited for it.
        let Counted { exported, failed, dropped, .. } = self.counters.remote_write.counted();
        self.counters.remote_write.failed(self.given.get().saturating_sub(exported + failed + dropped));
        let error = std::mem::take(&mut *lock(&self.error));
        (self.name, if ended.is_err() { "the sending thread failed".into() } else { error })
    }
}

fn lock(error: &Mutex<String>) -> std::sync::MutexGuard<'_, String> {
    error.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's side.
struct Courier {
    client: Client,
    settings: Settings,
    error: Arc<Mutex<String>>,
    /// The last request was given up: until one arrives, there is no point in waiting for each.
    down: bool,
    /// It was said that there are more tries.
    said: bool,
    /// Until when the receiver asked for rest, and in which words.
    rest: Option<(Instant, String)>,
    /// When everything has to be over.
    deadline: Cell<Option<Instant>>,
}

/// Why a request did not arrive.
struct Refusal {
    why: String,
    /// Whether it may be repeated, and how long the receiver wants to have its peace.
    again: Option<Option<Duration>>,
}

impl Courier {
    fn run(mut self, runtime: &Runtime, mut requests: Receiver<(WriteRequest, u64)>) {
        runtime.block_on(async {
            while let Some((request, samples)) = requests.recv().await {
                match self.deliver(&request).await {
                    Ok(()) => {
                        self.down = false;
                        self.signal().exported(samples);
                    }
                    Err(why) => {
                        self.signal().failed(samples);
                        *lock(&self.error) = why;
                    }
                }
            }
        });
    }

    fn signal(&self) -> &SignalCounters {
        &self.settings.duty.counters.remote_write
    }

    /// Tries for as long as it makes sense.
    async fn deliver(&mut self, request: &WriteRequest) -> std::result::Result<(), String> {
        let body =
            snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).map_err(|error| error.to_string())?;
        self.await_rest().await?;
        let (first, retry) = (Instant::now(), if self.down { Duration::ZERO } else { self.settings.target.retry });
        let (mut wait, mut again) = (FIRST_WAIT, false);
        loop {
            self.signal().request(again);
            let last = self.is_ending();
            let answer = tokio::select! {
                answer = self.attempt(body.clone()) => answer,
                () = self.cut_off() => return Err("given up before it was answered".into()),
            };
            let Err(refusal) = answer else { return Ok(()) };
            let Some(peace) = refusal.again else { return Err(refusal.why) };
            if let Some(peace) = peace {
                self.rest = Some((Instant::now() + peace.min(LONGEST_REST), refusal.why.clone()));
            }
            let pause = peace.unwrap_or(wait);
            let over = last || first.elapsed().saturating_add(pause) > retry;
            if over || self.settings.duty.interrupt.asked() {
                self.down = true;
                return Err(refusal.why);
            }
            self.say(&refusal.why);
            self.pause(pause).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            again = true;
        }
    }

    /// Waits for the end of the rest that an earlier answer asked for, where that is no longer than tries take, and no longer
    /// than a run that is to end may take.
    async fn await_rest(&mut self) -> std::result::Result<(), String> {
        loop {
            let Some((end, why)) = self.rest.clone() else { return Ok(()) };
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.rest = None;
                return Ok(());
            }
            let Duty { ending, interrupt, .. } = &self.settings.duty;
            if interrupt.asked() || left > ending.left().unwrap_or(self.settings.target.retry) {
                return Err(why);
            }
            self.pause(left).await;
        }
    }

    /// Comes back some time after the run was to end, for all requests the same.
    async fn cut_off(&self) {
        loop {
            let interrupted = self.settings.duty.interrupt.asked();
            let deadline = self.deadline.get().or_else(|| interrupted.then(|| Instant::now() + GRACE));
            self.deadline.set(deadline);
            let deadline = [deadline, self.settings.duty.ending.deadline()].into_iter().flatten().min();
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return;
            }
            tokio::time::sleep(NOTICE).await;
        }
    }

    /// Whether a live run is to end, so that each request has one more try.
    fn is_ending(&self) -> bool {
        self.settings.duty.ending.deadline().is_some()
    }

    /// Waits, but no longer than until the run is to end.
    async fn pause(&self, pause: Duration) {
        let (begun, ending) = (Instant::now(), self.is_ending());
        while begun.elapsed() < pause && !self.settings.duty.interrupt.asked() && self.is_ending() == ending {
            tokio::time::sleep(NOTICE.min(pause.saturating_sub(begun.elapsed()))).await;
        }
    }

    /// Says once that the receiver makes trouble, so that nobody wonders why nothing goes on.
    fn say(&mut self, why: &str) {
        if !std::mem::replace(&mut self.said, true) && !self.settings.duty.quiet {
            let Settings { name, target: Target { retry, .. }, .. } = &self.settings;
            eprintln!("redtape: warning: {name}: {why}; trying again for {retry:?}");
        }
    }

    async fn attempt(&self, body: Vec<u8>) -> std::result::Result<(), Refusal> {
        let request = self
            .client
            .post(self.settings.target.url.clone())
            .header("Content-Encoding", "snappy")
            .header("Content-Type", "application/x-protobuf")
            .header("User-Agent", concat!("redtape/", env!("CARGO_PKG_VERSION")))
            .header("X-Prometheus-Remote-Write-Version", "0.1.0")
            .body(body);
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let again = (!is_about_tls(&error) && !error.is_builder()).then_some(None);
                return Err(Refusal { why: told(&error.without_url(), TRUST), again });
            }
        };
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let retry = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        let peace = answer.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
        let mut said = Vec::new();
        while let Ok(Some(chunk)) = answer.chunk().await {
            said.extend(chunk.iter().take(ANSWER_MAX - said.len()));
            if said.len() == ANSWER_MAX {
                break;
            }
        }
        let said = short(String::from_utf8_lossy(&said).lines().next().unwrap_or_default());
        let why = format!("{status}{}{said}", if said.is_empty() { "" } else { ": " });
        Err(Refusal { why, again: retry.then_some(peace) })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use reqwest::header::HeaderMap;

    use super::*;
    use crate::export::remote_write::message::Sample;
    use crate::export::remote_write::samples::End;

    fn sample() -> TimeSeries {
        TimeSeries { labels: Vec::new(), samples: vec![Sample { value: 1.0, timestamp: 1 }], histograms: Vec::new() }
    }

    /// What becomes of one sample, where the receiver has these answers: how many arrived, how many did not, and why.
    fn send(answers: Vec<&'static str>) -> (u64, u64, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
        thread::spawn(move || {
            for answer in answers {
                let mut connection = listener.accept().unwrap().0;
                let _ = connection.read(&mut [0; 4096]).unwrap();
                let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
                // Longer than it is: who waits for all of it waits in vain.
                let length = body.len().min(1) << 30;
                let _ = write!(connection, "HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}");
            }
        });
        send_to(&url)
    }

    /// The same, of a receiver at `url`.
    fn send_to(url: &str) -> (u64, u64, String) {
        let (sender, counters) = sender(url);
        sender.send(vec![sample()]);
        let (_, error) = sender.finish();
        let counted = counters.remote_write.counted();
        (counted.exported, counted.failed, error)
    }

    /// Who sends to `url`, and what it counts.
    fn sender(url: &str) -> (Sender, Arc<ExportCounters>) {
        let duty = Duty { quiet: true, ..Duty::default() };
        let counters = Arc::clone(&duty.counters);
        let sender = Sender::start(Settings {
            target: Target {
                url: url.parse().unwrap(),
                headers: HeaderMap::new(),
                timeout: Duration::from_secs(10),
                retry: Duration::from_secs(10),
                end: End::Stays,
            },
            duty,
            name: "samples".into(),
        });
        (sender.unwrap(), counters)
    }

    #[test]
    fn what_is_sent_elsewhere_has_not_arrived() {
        let (exported, failed, error) = send(vec!["302 Found\r\nLocation: /login", "200 OK"]);
        assert_eq!((exported, failed, &*error), (0, 1, "302 Found"));
    }

    #[test]
    fn a_receiver_that_wants_to_be_left_alone_for_ages_is_given_up() {
        let (exported, failed, error) = send(vec!["503 Service Unavailable\r\nRetry-After: 18446744073709551615"]);
        assert_eq!((exported, failed, &*error), (0, 1, "503 Service Unavailable"));
    }

    #[test]
    fn a_receiver_that_wants_rest_is_left_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
        let answering = thread::spawn(move || {
            let mut connection = listener.accept().unwrap().0;
            let _ = connection.read(&mut [0; 4096]).unwrap();
            let answer = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n";
            connection.write_all(answer).unwrap();
        });
        let (sender, counters) = sender(&url);
        (0..10).for_each(|_| sender.send(vec![sample()]));
        let (_, error) = sender.finish();
        answering.join().unwrap();
        let Counted { failed, requests, .. } = counters.remote_write.counted();
        assert_eq!((failed, requests, &*error), (10, 1, "503 Service Unavailable"));
    }

    #[test]
    fn what_a_receiver_says_is_bounded_and_no_command_for_a_terminal() {
        let (_, failed, error) = send(vec!["400 Bad Request\r\n\r\nout of\x1b[2J bounds\nand more"]);
        assert_eq!((failed, &*error), (1, "400 Bad Request: out of [2J bounds"));
        let (_, failed, error) = send(vec![format!("400 Bad Request\r\n\r\n{}", "a".repeat(2 * ANSWER_MAX)).leak()]);
        assert_eq!((failed, error.len()), (1, "400 Bad Request: ".len() + 200));
    }

    #[test]
    fn where_tls_is_at_fault_no_other_try_is_made() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let answering = thread::spawn(move || {
            let mut connection = listener.accept().unwrap().0;
            let _ = connection.read(&mut [0; 4096]).unwrap();
            // An alert, fatal: handshake failure.
            connection.write_all(&[21, 3, 3, 0, 2, 2, 40]).unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        });
        let (_, failed, error) = send_to(&url);
        assert!(failed == 1 && error.contains("HandshakeFailure"), "{error}");
        assert!(answering.join().unwrap().accept().is_err(), "there was one connection");
    }

    #[test]
    fn a_thread_that_fails_loses_nothing_in_silence() {
        let (queue, mut requests) = mpsc::channel(4);
        let thread = thread::spawn(move || assert!(requests.blocking_recv().is_none(), "as the test wants"));
        let counters = Arc::<ExportCounters>::default();
        let (error, name) = (Arc::default(), "samples".into());
        let given = Cell::new(0);
        let sender = Sender { queue, thread, live: false, given, counters: Arc::clone(&counters), error, name };
        sender.send(vec![sample(), sample()]);
        assert_eq!(sender.finish().1, "the sending thread failed");
        assert_eq!(counters.remote_write.counted().failed, 2);
    }
}
