//! Scripts of records, and the events that come out.

use redtape_abi::{Arrival, Captured, Conn, Control, Data, Exec, Header, Record, Socket, conn_flags, kind, lane, role};
use redtape_core::{
    Body, BodyBuf, ConnInfo, Direction, EventBuf, Loss, LossCause, MonoNanos, Origin, ProcKey, Role, Tgid,
};

mod tls;

use super::transcriber::Transcriber;
use crate::bpf::{Counters, LanePosition};

const ORIGIN: Origin = Origin([3; 16]);
const START: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

struct Script {
    transcriber: Transcriber,
    seq: u64,
}

impl Script {
    fn new() -> Self {
        Self { transcriber: Transcriber::new(ORIGIN, MonoNanos::new(START)), seq: 0 }
    }

    /// The next header of CPU 0's lane of calls, `ms` after the start.
    fn header(&mut self, kind: u8, ms: u64) -> Header {
        self.seq += 1;
        Header { kind, lane: lane::CALL, cpu: 0, reserved: 0, seq: self.seq - 1, time: START + ms * MS }
    }

    fn push(&mut self, record: &Record<'_>) {
        self.transcriber.record(record, &mut |tgid: Tgid| ProcKey::new(ORIGIN, u64::from(tgid.0)));
    }

    fn conn(&mut self, cookie: u64, tgid: u32, flags: u8) {
        let header = self.header(kind::CONN, 0);
        let conn = Conn {
            header,
            cookie,
            established: START,
            first_in: 0,
            first_out: 0,
            local: [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            remote: [0; 16],
            netns: 5,
            isn_local: 10,
            isn_remote: 20,
            tgid,
            local_port: 80,
            remote_port: 81,
            family: 2,
            role: role::SERVER,
            flags,
        };
        self.push(&Record::Conn(conn));
    }

    /// A read or write from `entry` to `exit` milliseconds after the start.
    fn data(&mut self, out: bool, entry: u64, exit: u64) {
        let header = self.header(kind::DATA, exit);
        let (prefix, tail) = (&b"head"[..], &b"end"[..]);
        let call = Data {
            header,
            cookie: 1,
            entry: START + entry * MS,
            pos: 100,
            len: 1000,
            tgid: 9,
            tid: 9,
            fd: 3,
            prefix_len: 4,
            tail_len: 3,
            source: if out { redtape_abi::call::WRITE } else { redtape_abi::call::READ },
            out: u8::from(out),
            ..Data::default()
        };
        self.push(&Record::Data(call, Captured { prefix, tail, ..Captured::default() }));
    }

    fn arrival(&mut self, ms: u64) {
        let header = self.header(kind::ARRIVAL, ms);
        self.push(&Record::Arrival(Arrival { header, cookie: 1, end: 7, fin: 0 }));
    }

    fn accept(&mut self, ms: u64) {
        let header = self.header(kind::ACCEPT, ms);
        self.push(&Record::Accept(Control {
            header,
            cookie: 1,
            entry: header.time,
            tgid: 9,
            tid: 9,
            loop_turn: 0,
            fd: 4,
            detail: 0,
            flags: 0,
            reserved: 0,
        }));
    }

    fn closed(&mut self, ms: u64) {
        let header = self.header(kind::CLOSED, ms);
        self.push(&Record::Closed(Socket { header, cookie: 1, errno: 0, reserved: 0 }));
    }

    fn advance(&mut self, ms: u64) -> Vec<EventBuf> {
        self.transcriber.advance(MonoNanos::new(START + ms * MS));
        self.take()
    }

    fn finish(&mut self) -> Vec<EventBuf> {
        self.transcriber.finish();
        self.take()
    }

    fn take(&mut self) -> Vec<EventBuf> {
        std::iter::from_fn(|| self.transcriber.pop()).collect()
    }

    fn settle(&mut self, next: u64, map_full: u64, ms: u64) {
        let position = LanePosition { cpu: 0, lane: lane::CALL, next };
        let counters = Counters { map_full, ..Counters::default() };
        self.transcriber.settle(&[position], &counters, MonoNanos::new(START + ms * MS));
    }
}

/// Kind and milliseconds after the start of each event.
fn shape(events: &[EventBuf]) -> Vec<(&'static str, u64)> {
    let kind = |event: &EventBuf| match event.as_event().body {
        Body::Connection(_) => "connection",
        Body::Data(data) if data.direction == Direction::In => "in",
        Body::Data(_) => "out",
        Body::Arrival { .. } => "arrival",
        Body::Close { .. } => "close",
        Body::Loss(_) => "loss",
        Body::Tick => "tick",
        Body::Process(_) => "process",
        _ => "other",
    };
    events.iter().map(|event| (kind(event), (event.time.nanos() - START) / MS)).collect()
}

fn connections(events: &[EventBuf]) -> Vec<&ConnInfo> {
    let of = |event| match event {
        &EventBuf { body: BodyBuf::Connection(ref info), .. } => Some(&**info),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

fn losses(events: &[EventBuf]) -> Vec<Loss> {
    let of = |event: &EventBuf| match event.body {
        BodyBuf::Plain(Body::Loss(loss)) => Some(loss),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

#[test]
fn reads_count_at_exit_and_writes_at_entry() {
    let mut script = Script::new();
    script.conn(1, 9, conn_flags::ISN_KNOWN);
    script.data(false, 1, 30);
    script.arrival(10);
    script.data(true, 5, 35);
    assert_eq!(shape(&script.finish()), [("connection", 5), ("out", 5), ("arrival", 10), ("in", 30)]);
}

#[test]
fn the_window_holds_50_ms_and_what_comes_after_is_late() {
    let mut script = Script::new();
    script.conn(1, 9, 0);
    script.arrival(10);
    script.arrival(20);
    assert_eq!(shape(&script.advance(65)), [("connection", 10), ("arrival", 10)]);
    script.data(true, 12, 66);
    let late = script.take();
    assert_eq!(shape(&late), [("out", 12)]);
    assert!(late[0].late);
    assert_eq!(script.transcriber.counts().late, 1);
    let rest = script.finish();
    assert_eq!(shape(&rest), [("arrival", 20)]);
    assert!(!rest[0].late);
}

#[test]
fn ticks_carry_the_watermark() {
    let mut script = Script::new();
    assert_eq!(shape(&script.advance(149)), []);
    assert_eq!(shape(&script.advance(150)), [("tick", 100)]);
    assert_eq!(shape(&script.advance(200)), []);
    script.arrival(205);
    assert_eq!(shape(&script.advance(260)), [("connection", 205), ("arrival", 205), ("tick", 210)]);
}

#[test]
fn facts_of_a_connection_come_first_and_again_when_they_change() {
    let mut script = Script::new();
    script.conn(1, 0, conn_flags::ISN_KNOWN);
    script.arrival(1);
    let events = script.advance(60);
    let first = connections(&events)[0].clone();
    assert_eq!((first.process, first.isn_local, first.isn_remote), (ProcKey::default(), Some(10), Some(20)));
    assert_eq!(first.established, Some(MonoNanos::new(START)));
    assert_eq!(first.endpoint.map(|ends| ends.local.to_string()).as_deref(), Some("127.0.0.1:80"));
    // The accept tells who owns it.
    script.accept(70);
    script.arrival(71);
    let events = script.finish();
    assert_eq!(shape(&events), [("connection", 70), ("other", 70), ("arrival", 71)]);
    assert_eq!(connections(&events)[0].process, ProcKey::new(ORIGIN, 9));
}

#[test]
fn a_connection_whose_introduction_was_lost_is_known_by_its_key() {
    let mut script = Script::new();
    script.data(false, 1, 2);
    script.closed(3);
    script.arrival(4);
    let events = script.finish();
    assert_eq!(shape(&events), [("connection", 2), ("in", 2), ("close", 3), ("arrival", 4)]);
    let conn = connections(&events)[0];
    assert_eq!((conn.role, conn.endpoint, conn.process), (Role::Unknown, None, ProcKey::new(ORIGIN, 9)));
}

#[test]
fn payload_becomes_ranges() {
    let mut script = Script::new();
    script.data(false, 1, 2);
    let events = script.finish();
    let Body::Data(data) = events[1].as_event().body else { panic!("data") };
    let pieces: Vec<_> = data.ranges.iter().collect();
    assert_eq!(pieces, [(0, &b"head"[..]), (997, &b"end"[..])]);
    assert_eq!((data.pos, data.len), (100, 1000));
}

#[test]
fn pieces_between_the_edges_become_ranges() {
    let mut script = Script::new();
    let header = script.header(kind::DATA, 2);
    let fields: [u64; 6] = [1, START, 100, 1000, 9 | 9 << 32, 3 << 32];
    let counts: [u32; 4] = [0, 3, u32::from(redtape_abi::call::READ), 2];
    let mut bytes = vec![header.kind, header.lane, 0, 0, 0, 0, 0, 0];
    bytes.extend([header.seq, header.time].into_iter().chain(fields).flat_map(u64::to_le_bytes));
    bytes.extend(counts.into_iter().flat_map(u32::to_le_bytes));
    // Nothing of TLS.
    bytes.extend([0; 16]);
    bytes.extend(b"frontmiddleend");
    bytes.extend([0_u32, 5, 500, 6].into_iter().flat_map(u32::to_le_bytes));
    script.push(&Record::decode(&bytes).expect("a record"));
    let events = script.finish();
    let Body::Data(data) = events[1].as_event().body else { panic!("data") };
    let pieces: Vec<_> = data.ranges.iter().collect();
    assert_eq!(pieces, [(0, &b"front"[..]), (500, b"middle"), (997, b"end")]);
}

#[test]
fn holes_in_the_numbers_are_losses_with_a_window() {
    let mut script = Script::new();
    script.arrival(1);
    script.seq += 5;
    script.arrival(9);
    let events = script.finish();
    assert_eq!(shape(&events), [("connection", 1), ("arrival", 1), ("loss", 9), ("arrival", 9)]);
    let [from, to] = [1, 9].map(|ms| MonoNanos::new(START + ms * MS));
    assert_eq!(losses(&events), [Loss { cause: LossCause::RingFull, count: 5, from, to, origin: None }]);
    // The lost records have used up their numbers.
    assert_eq!((events[1].seq, events[2].seq, events[3].seq), (0, 1, 6));
}

#[test]
fn losses_at_the_end_are_found_by_the_counters() {
    let mut script = Script::new();
    script.arrival(1);
    script.settle(4, 0, 10);
    assert_eq!(losses(&script.take()), []);
    // One of the three came after all, before the second look.
    script.arrival(2);
    script.settle(4, 2, 20);
    let events = script.finish();
    let found: Vec<_> = losses(&events).iter().map(|loss| (loss.cause, loss.count)).collect();
    assert_eq!(found, [(LossCause::RingFull, 2), (LossCause::MapFull, 2)]);
    assert_eq!(script.transcriber.counts().lost, 4);
}

#[test]
fn skipped_runs_are_losses_since_the_last_look() {
    let mut script = Script::new();
    for (total, ms) in [(0, 10), (3, 20), (3, 30), (4, 40)] {
        script.transcriber.skipped(total, MonoNanos::new(START + ms * MS));
    }
    let at = |ms| MonoNanos::new(START + ms * MS);
    let loss =
        |count, from, to| Loss { cause: LossCause::ProgramSkipped, count, from: at(from), to: at(to), origin: None };
    assert_eq!(losses(&script.finish()), [loss(3, 10, 20), loss(1, 30, 40)]);
    assert_eq!(script.transcriber.counts().lost, 4);
}

#[test]
fn only_followed_programs_exec() {
    let mut script = Script::new();
    for followed in [0, 1] {
        let header = script.header(kind::EXEC, 1);
        script.push(&Record::Exec(Exec { header, tgid: 9, followed, comm: [0; 16], exe: [0; 208] }));
    }
    let events = script.finish();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].as_event().body, Body::Exec { process: ProcKey::new(ORIGIN, 9) });
}
