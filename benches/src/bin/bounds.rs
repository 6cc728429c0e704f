//! Holds the engine's memory against traffic that would fill it: connections that are never closed, requests that are
//! never finished, paths that never repeat. Prints the peak of the resident memory, as the kernel counts it.
//!
//! ```text
//! bounds connections|half-sent|paths COUNT
//! ```

use anyhow::{Context as _, anyhow, bail};
use redtape_core::config::Config;
use redtape_core::{
    Body, ConnInfo, ConnKey, Data, Direction, Engine, Event, Evidence, Ext, MonoNanos, Origin, Output, ProcKey, Ranges,
    Role, Source, Stamp,
};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, count] = &arguments[..] else { bail!("usage: bounds connections|half-sent|paths COUNT") };
    let count: u64 = count.parse().with_context(|| format!("not a number: {count}"))?;
    let (config, _) = Config::from_yaml("routes: {unmatched: low-cardinality}", "bounds")?;
    let options = config.engine(false, Evidence::Online).map_err(|(key, fault)| anyhow!("{key}: {fault}"))?;
    let mut feed = Feed { engine: Engine::new(options), now: 1_000_000, spans: 0 };
    let half = format!("GET /a HTTP/1.1\r\nCookie: {}", "x".repeat(4096));
    match kind.as_str() {
        "connections" => (0..count).for_each(|id| {
            feed.open(id);
            feed.exchange(id, 0, 0, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
        }),
        "half-sent" => (0..count).for_each(|id| {
            feed.open(id);
            feed.data(id, Direction::In, 0, half.as_bytes());
        }),
        "paths" => {
            feed.open(0);
            let mut pos = 0;
            for number in 0..count {
                let request = format!("GET /w{number:x}/b HTTP/1.1\r\nHost: a\r\n\r\n");
                feed.exchange(0, pos, number * RESPONSE.len() as u64, request.as_bytes());
                pos += request.len() as u64;
            }
        }
        other => bail!("no kind of traffic is called {other}"),
    }
    feed.engine.finish();
    feed.drain();
    let totals = feed.engine.totals();
    println!("{kind} {count}: {} spans, peak {} KiB, {:?}", feed.spans, peak_kib()?, totals.diagnostics);
    Ok(())
}

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

struct Feed {
    engine: Engine,
    now: u64,
    spans: u64,
}

impl Feed {
    fn open(&mut self, id: u64) {
        let origin = Origin([7; 16]);
        let info = ConnInfo {
            role: Role::Server,
            netns: 1,
            isn_local: u32::try_from(id).ok(),
            isn_remote: Some(7),
            ..ConnInfo::unknown(origin, id)
        };
        self.push(Body::Connection(&info));
    }

    /// A request and its response, at these positions of their streams.
    fn exchange(&mut self, id: u64, request_pos: u64, response_pos: u64, request: &[u8]) {
        self.data(id, Direction::In, request_pos, request);
        self.data(id, Direction::Out, response_pos, RESPONSE);
    }

    fn data(&mut self, id: u64, direction: Direction, pos: u64, bytes: &[u8]) {
        self.now += 1_000;
        let at = MonoNanos::new(self.now);
        self.push(Body::Data(Data {
            conn: ConnKey::new(Origin([7; 16]), id),
            process: ProcKey::default(),
            stamp: Stamp { entry: at, exit: at, ..Stamp::default() },
            direction,
            source: Source::Read,
            pos,
            len: bytes.len() as u64,
            arrived: None,
            ranges: Ranges::prefix(bytes),
        }));
    }

    fn push(&mut self, body: Body<'_>) {
        let time = MonoNanos::new(self.now);
        self.engine.push(&Event { time, cpu: 0, seq: 0, late: false, body, ext: Ext::default() });
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            self.spans += u64::from(matches!(output, Output::Span(_)));
        }
    }
}

fn peak_kib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("failed to read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    line.trim().trim_end_matches(" kB").parse().context("VmHWM is no number")
}
