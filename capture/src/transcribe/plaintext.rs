//! Records of TLS libraries to events: each TLS object is a connection of its own, and has the facts of its carrier.

use redtape_abi::{Data as DataRecord, TlsClue, limits, tie};
use redtape_core::tls::{Clue, Finding, TieRule, Ties};
use redtape_core::{
    Body, ConnKey, Data, DataFlags, Direction, MonoNanos, ProcKey, Ranges, Source, Stamp, Tgid, Tid, TlsLibrary,
};

use super::carriers::Carriers;
use super::conns::Conns;

/// What is remembered for the sake of TLS.
#[derive(Debug)]
pub(crate) struct Plaintext {
    ties: Ties,
    pub(crate) carriers: Carriers,
}

/// A TLS object as a record has it.
#[derive(Clone, Copy, Debug)]
struct Object {
    id: u64,
    library: u8,
    joined: bool,
    process: ProcKey,
}

impl Plaintext {
    pub(crate) fn new() -> Self {
        Self { ties: Ties::new(2 * limits::TLS_OBJECTS_MAX as usize), carriers: Carriers::default() }
    }

    /// A call that moved plaintext. Also returns the event that tells its carrier, if that is news.
    pub(crate) fn data(
        &mut self,
        call: &DataRecord,
        process: ProcKey,
        conns: &mut Conns,
    ) -> (Data<'static>, Option<Body<'static>>) {
        let object = Object { id: call.cookie, library: call.library, joined: call.joined != 0, process };
        let conn = conns.plaintext(object.id, TlsLibrary::from_number(object.library), object.joined, process);
        let finding = match call.rule {
            tie::NONE if self.carriers.are_passed_on(Tgid(call.tgid)) => self.ties.distrust(object.id),
            tie::NONE => None,
            tie::CONFLICT => self.ties.contradicted(object.id),
            rule => self.ties.certain(object.id, call.carrier, TieRule::from_number(rule)),
        };
        let tie = finding.and_then(|finding| apply(finding, object, conns));
        let direction = if call.out == 0 { Direction::In } else { Direction::Out };
        let carrier = self.ties.carrier(object.id);
        let arrived = carrier.filter(|_| direction == Direction::In).and_then(|carrier| self.carriers.arrived(carrier));
        let stamp = Stamp {
            tid: Tid(call.tid),
            flags: DataFlags(call.flags),
            loop_turn: call.loop_turn,
            entry: MonoNanos::new(call.entry),
            exit: MonoNanos::new(call.header.time),
        };
        let source = Source::from_number(call.source);
        let data = Data {
            conn,
            process,
            stamp,
            direction,
            source,
            pos: call.pos,
            len: call.len,
            arrived,
            ranges: Ranges::EMPTY,
        };
        (data, tie)
    }

    /// A clue, and the event that tells the carrier, if that is known by it.
    pub(crate) fn clue(&mut self, clue: &TlsClue, process: ProcKey, conns: &mut Conns) -> Option<Body<'static>> {
        if self.carriers.are_passed_on(Tgid(clue.tgid)) {
            return None;
        }
        let object = Object { id: clue.object, library: clue.library, joined: clue.joined != 0, process };
        let finding = self.ties.clue(&Clue {
            object: clue.object,
            carrier: clue.carrier,
            direction: if clue.out == 0 { Direction::In } else { Direction::Out },
            plain: clue.plain.into(),
            content: clue.content,
            record: clue.record.into(),
            moved: clue.moved.into(),
        });
        apply(finding?, object, conns)
    }

    /// The accept of the connection that carries a TLS object, told of the object, now that the two are tied.
    pub(crate) fn accept(&mut self, tie: &Body<'_>, process: ProcKey) -> Option<Body<'static>> {
        let Body::TlsTie { conn, carrier, .. } = *tie else { return None };
        let stamp = self.carriers.take_accept(carrier)?;
        Some(Body::Accept { conn, process, stamp })
    }

    /// How often evidence of carriers contradicted other evidence.
    pub(crate) fn contradictions(&self) -> u64 {
        self.ties.contradictions()
    }

    /// A carrier's facts have changed.
    pub(crate) fn learn(&self, carrier: u64, conns: &mut Conns) {
        if let Some(object) = self.ties.object(carrier) {
            conns.tie(object, Some(carrier));
        }
    }

    /// A TLS object is no more. Returns its connection, if the tape has it.
    pub(crate) fn close_object(&mut self, object: u64, conns: &mut Conns) -> Option<ConnKey> {
        self.ties.close_object(object);
        conns.end_plaintext(object)
    }

    /// A socket is no more. Returns the connection that it carried.
    pub(crate) fn close_carrier(&mut self, carrier: u64, conns: &mut Conns) -> Option<ConnKey> {
        self.carriers.forget(carrier);
        conns.end_plaintext(self.ties.close_carrier(carrier)?)
    }
}

fn apply(finding: Finding, object: Object, conns: &mut Conns) -> Option<Body<'static>> {
    let conn = conns.plaintext(object.id, TlsLibrary::from_number(object.library), object.joined, object.process);
    match finding {
        Finding::Tied { carrier, rule } => {
            conns.tie(object.id, Some(carrier));
            Some(Body::TlsTie { conn, carrier, rule })
        }
        Finding::Untied => {
            conns.tie(object.id, None);
            Some(Body::TlsTie { conn, carrier: 0, rule: TieRule::Contradicted })
        }
    }
}
