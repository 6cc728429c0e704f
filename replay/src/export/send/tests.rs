//! What becomes of what is sent, whatever the protocol.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::HeaderMap;

use super::*;
use crate::export::advice::Trust;
use crate::export::{Counted, ExportCounters, Sent};

const BUSY: &str = "503 Service Unavailable";

/// A protocol of tests: messages are posted as they are, and 5xx passes.
#[derive(Debug)]
struct Plain(Http);

#[async_trait]
impl Way for Plain {
    async fn send(&self, message: Bytes) -> Result<Bytes, Refusal> {
        let answer = self.0.post(message).await?;
        let text = String::from_utf8_lossy(&answer.body);
        let refusal = || answer.refusal(answer.status.is_server_error(), &text);
        if answer.status.is_success() { Ok(Bytes::new()) } else { Err(refusal()) }
    }
}

/// A port where nobody is.
fn nobody() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

/// A line to `url` with room for so many, whose items say of how many units they are, where none ends the thread; and what it
/// counts.
fn line(url: &str, capacity: usize, retry: Duration, duty: Duty) -> (Line<u64>, Arc<ExportCounters>) {
    let timeout = Duration::from_secs(10);
    let backoff = Backoff { initial: Duration::from_millis(100), longest: Duration::from_secs(1), elapsed: retry };
    let name = "units".to_owned();
    let destination = Destination { name, counters: |counters| &counters.traces, timeout, backoff };
    let duty = Duty { quiet: true, ..duty };
    let counters = Arc::clone(&duty.counters);
    let way = || -> Result<Box<dyn Way>, BoxError> {
        let trust = Trust { issuer: "--issuer", own: None };
        Ok(Box::new(Plain(Http::new(url, HeaderMap::new(), timeout, &Tls::default(), trust)?)))
    };
    let work = |mut queue: Queue<u64>, courier: Arc<Courier>| async move {
        while let Some(count) = queue.recv().await {
            assert!(count > 0, "as the test wants");
            courier.bring(Bytes::from_static(b"x"), count).await;
        }
    };
    (Line::new("test", capacity, (destination, duty), way, work).unwrap(), counters)
}

/// What becomes of these items of a replay, and how many requests there were.
fn send(url: &str, retry: Duration, items: impl IntoIterator<Item = u64>) -> (Sent, u64) {
    let (line, counters) = line(url, 1, retry, Duty::default());
    items.into_iter().for_each(|count| {
        line.push(count, count);
    });
    (line.finish(), counters.traces.counted().requests)
}

/// Reads a request from a new connection.
fn request(listener: &TcpListener) -> TcpStream {
    let mut connection = listener.accept().unwrap().0;
    let _ = connection.read(&mut [0; 4096]).unwrap();
    connection
}

/// A receiver that has these heads for as many connections, and says nothing after that.
fn answering(heads: Vec<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for head in heads {
            let _ = write!(request(&listener), "HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
        listener.incoming().for_each(std::mem::forget);
    });
    url
}

#[test]
fn a_replay_waits_where_the_queue_is_full() {
    let (line, counters) = line(&nobody(), 1, Duration::ZERO, Duty::default());
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
fn a_live_run_goes_on_and_counts() {
    let (line, counters) = line(&nobody(), 1, Duration::ZERO, Duty { live: true, ..Duty::default() });
    // Far more than are sent meanwhile, and none is lost without being counted.
    (0..10_000).for_each(|_| {
        line.push(1, 1);
    });
    let sent = line.finish();
    assert_eq!((sent.arrived, sent.failed), (0, 10_000));
    let Counted { failed, dropped, .. } = counters.traces.counted();
    assert!(dropped > 0 && failed + dropped == 10_000, "{failed} {dropped}");
}

#[test]
fn a_receiver_that_wants_rest_is_left_alone() {
    for head in
        ["503 Service Unavailable\r\nRetry-After: 3600", "503 Service Unavailable\r\nRetry-After: 18446744073709551615"]
    {
        let (sent, requests) = send(&answering(vec![head]), Duration::from_secs(10), 1..=20);
        assert_eq!((sent.failed, &*sent.error, requests), (210, "it answered 503 Service Unavailable", 1));
    }
}

#[test]
fn what_is_busy_for_a_while_gets_it_all_the_same() {
    let heads = vec!["503 Service Unavailable\r\nRetry-After: 0", BUSY, "200 OK", "200 OK"];
    let (sent, requests) = send(&answering(heads), Duration::from_secs(10), [3, 4]);
    assert_eq!((sent.arrived, sent.failed, requests), (7, 0, 4));
}

#[test]
fn what_is_sent_elsewhere_has_not_arrived() {
    let url = answering(vec!["302 Found\r\nLocation: /login", "200 OK"]);
    let (sent, requests) = send(&url, Duration::from_secs(10), [1]);
    assert_eq!((sent.failed, &*sent.error, requests), (1, "it answered 302 Found", 1));
}

#[test]
fn where_tls_is_at_fault_no_other_try_is_made() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        // An alert, fatal: handshake failure.
        request(&listener).write_all(&[21, 3, 3, 0, 2, 2, 40]).unwrap();
    });
    let (sent, requests) = send(&url, Duration::from_secs(10), [1]);
    assert!(sent.failed == 1 && requests == 1 && sent.error.contains("HandshakeFailure"), "{}", sent.error);
}

/// Three requests of a live run, that are tried for an hour, and the first of them was in vain when the run is to end; with the
/// number of tries.
fn end_in_vain(url: &str, left: Duration) -> (Sent, u64) {
    let duty = Duty { live: true, ..Duty::default() };
    let ending = duty.ending.clone();
    let (line, counters) = line(url, 8, Duration::from_secs(3600), duty);
    (0..3).for_each(|_| {
        line.push(1, 1);
    });
    while counters.traces.counted().requests == 0 {
        thread::yield_now();
    }
    ending.within(left);
    (line.finish(), counters.traces.counted().requests)
}

#[test]
fn a_run_that_is_to_end_has_one_more_try_for_each_request() {
    let (sent, requests) = end_in_vain(&nobody(), Duration::from_secs(3600));
    assert_eq!((sent.arrived, sent.failed), (0, 3));
    assert!(sent.error.contains("Connection refused"), "{}", sent.error);
    // The first may have been tried more often before.
    assert!(requests >= 4, "{requests}");
}

#[test]
fn the_reason_is_told_also_of_what_was_cut_off() {
    let (sent, _) = end_in_vain(&answering(vec![BUSY]), Duration::from_millis(300));
    assert_eq!((sent.failed, &*sent.error), (3, "it answered 503 Service Unavailable"));
}

#[test]
fn a_thread_that_fails_loses_nothing_in_silence() {
    let (line, counters) = line(&nobody(), 4, Duration::ZERO, Duty::default());
    [0, 3, 4].into_iter().for_each(|count| {
        line.push(count, count);
    });
    let sent = line.finish();
    assert_eq!((sent.arrived, sent.failed, &*sent.error), (0, 7, "the sending thread failed"));
    assert_eq!(counters.traces.counted().failed, 7);
}
