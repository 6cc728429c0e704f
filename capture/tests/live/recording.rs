//! Recording a piece of this process's own traffic.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use libtest_mimic::{Completion, Failed, Trial};
use redtape_capture::{
    ArrivalHook, Counters, LoadError, ProbeOptions, Probes, Transcriber, TranscriberCounts, mono_now,
};
use redtape_core::{
    Body, BodyBuf, ConnInfo, ConnKey, Data, Direction, EventBuf, Loss, Origin, ProcKey, RangesBuf, Role, Tgid,
};

pub(crate) const ORIGIN: Origin = Origin([7; 16]);

/// What was recorded.
pub(crate) struct Recording {
    pub(crate) events: Vec<EventBuf>,
    pub(crate) counters: Counters,
    pub(crate) counts: TranscriberCounts,
    pub(crate) hook: ArrivalHook,
}

/// A test that is ignored where programs cannot be loaded.
pub(crate) fn trial(name: &'static str, test: fn()) -> Trial {
    Trial::ignorable_test(name, move || run_trial(test))
}

/// Runs a test where programs can be loaded.
pub(crate) fn run_trial(test: fn()) -> Result<Completion, Failed> {
    static LACK: OnceLock<Option<String>> = OnceLock::new();
    if let Some(reason) = LACK.get_or_init(lack) {
        return Ok(Completion::ignored_with(reason.clone()));
    }
    test();
    Ok(Completion::Completed)
}

/// What this machine lacks for recording. Errors of other kinds are for the tests to show.
fn lack() -> Option<String> {
    let options = ProbeOptions { ring_bytes: 4096, ..ProbeOptions::default() };
    let error = Probes::load(&options).err()?;
    let lacking = matches!(error, LoadError::Capabilities { .. } | LoadError::NoBtf { .. } | LoadError::Lockdown);
    lacking.then(|| error.to_string())
}

/// Records what `workload` does.
pub(crate) fn record(workload: impl FnOnce()) -> Recording {
    record_with(&ProbeOptions::default(), |_| workload())
}

/// Records what `workload` does, which gets the probes to hand.
pub(crate) fn record_with(options: &ProbeOptions, workload: impl FnOnce(&mut Probes)) -> Recording {
    let start = mono_now();
    let mut probes = Probes::load(options).unwrap_or_else(|error| panic!("{error}"));
    probes.follow(std::process::id()).expect("a process can be followed");
    let mut transcriber = Transcriber::new(ORIGIN, start);
    workload(&mut probes);
    probes.unfollow(std::process::id());
    let mut counters = probes.counters();
    for turn in 0..1000 {
        // Sockets are torn down by timers and other CPUs.
        std::thread::sleep(Duration::from_millis(5));
        let positions = probes.lane_positions();
        counters = probes.counters();
        while probes.drain(&mut |record| transcriber.record(&record, &mut process_key)) > 0 {}
        transcriber.settle(&positions, &counters, mono_now());
        // Others on this host make records, too, so wait for a moment at which none is on its way.
        counters.delivered = probes.counters().delivered;
        if turn > 0 && counters.produced == counters.delivered + counters.ring_full {
            break;
        }
    }
    transcriber.settle(&[], &counters, mono_now());
    transcriber.finish();
    let events = std::iter::from_fn(|| transcriber.pop()).collect();
    Recording { events, counters, counts: transcriber.counts(), hook: probes.arrival_hook() }
}

pub(crate) fn process_key(tgid: Tgid) -> ProcKey {
    ProcKey::new(ORIGIN, u64::from(tgid.0))
}

impl Recording {
    /// Fails if a record is missing.
    pub(crate) fn check_complete(&self) {
        let Counters { produced, delivered, ring_full, map_full, malformed, .. } = self.counters;
        assert_eq!((produced, ring_full, map_full, malformed), (delivered, 0, 0, 0), "{:?}", self.counters);
        assert_eq!(self.counts.lost, 0);
    }

    pub(crate) fn conns(&self) -> impl Iterator<Item = &ConnInfo> {
        self.events.iter().filter_map(|event| match &event.body {
            BodyBuf::Connection(info) => Some(&**info),
            _ => None,
        })
    }

    /// The last facts of the one connection with this role.
    pub(crate) fn conn(&self, role: Role) -> &ConnInfo {
        self.conns().filter(|conn| conn.role == role).last().unwrap_or_else(|| panic!("no {role:?}"))
    }

    pub(crate) fn data(&self, conn: ConnKey, direction: Direction) -> Vec<(Data<'static>, &RangesBuf)> {
        let of = |event| match event {
            &EventBuf { body: BodyBuf::Data(data, ref ranges), .. }
                if data.conn == conn && data.direction == direction =>
            {
                Some((data, ranges))
            }
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }

    /// The bodies of a connection's other events, in order.
    pub(crate) fn bodies(&self, conn: ConnKey) -> Vec<Body<'static>> {
        let of = |event: &EventBuf| match event.body {
            BodyBuf::Plain(body) if body.conn() == Some(conn) => Some(body),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }

    pub(crate) fn losses(&self) -> Vec<Loss> {
        let of = |event: &EventBuf| match event.body {
            BodyBuf::Plain(Body::Loss(loss)) => Some(loss),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }

    /// Checks one direction of a connection: positions without a gap from `from` to `to`, and every captured byte what
    /// [`byte_at`] says.
    pub(crate) fn check_stream(&self, conn: ConnKey, direction: Direction, from: u64, to: u64) {
        let mut at = from;
        for (data, ranges) in self.data(conn, direction) {
            if data.stamp.flags.contains(redtape_core::DataFlags::PEEK) {
                assert_eq!(data.pos, at, "peek: {data:?}");
                continue;
            }
            assert_eq!(data.pos, at, "{data:?}");
            assert!(data.stamp.entry <= data.stamp.exit);
            let captured = ranges.as_ranges();
            for (offset, bytes) in captured.iter() {
                for (position, &byte) in (data.pos + offset..).zip(bytes) {
                    assert_eq!(byte, byte_at(position), "position {position} of {data:?}");
                }
            }
            let edges = data.len.min(128);
            let in_memory = !matches!(data.source, redtape_core::Source::Sendfile | redtape_core::Source::Splice);
            assert!(!in_memory || captured.captured() as u64 >= edges, "{} of {data:?}", captured.captured());
            at += data.len;
        }
        assert_eq!(at, to, "end of {direction:?}");
    }
}

/// The test streams' bytes: each position has its own.
pub(crate) fn byte_at(position: u64) -> u8 {
    (position.wrapping_mul(37) >> 3) as u8
}

/// `len` bytes of a test stream from `position` on.
pub(crate) fn bytes(position: u64, len: u64) -> Vec<u8> {
    (position..position + len).map(byte_at).collect()
}

/// A connected pair: client, server.
pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
    (client, listener.accept().expect("accepts").0)
}

/// Writes `len` bytes of the stream at `position` with write, reads them with read.
pub(crate) fn send(from: &mut TcpStream, to: &mut TcpStream, position: u64, len: u64) {
    from.write_all(&bytes(position, len)).expect("writes");
    let mut read = vec![0; usize::try_from(len).expect("small")];
    to.read_exact(&mut read).expect("reads");
}
