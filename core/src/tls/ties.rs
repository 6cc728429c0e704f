//! Which TCP connection carries which TLS object.
//!
//! Some evidence is certain: the program gave the socket to the library, or the library used it while it was called. Where
//! a library works in memory, a thread moves TLS records between socket and object itself, and there are only clues: it
//! read records of one socket alone and then from the object, which makes the socket a suspect; or wrote to the object, be it
//! its handshake, and then records to a socket. Where both ways name the same socket and lengths fit, the two are tied. One
//! way alone is not enough: where threads that read sockets hand over what they read to others that decrypt it, each of
//! these may just have read another socket's records, of the same lengths. A read of another socket's records unties for good; a
//! write of them means nothing, since records may be on their way for long. In a process whose threads are seen to pass connections on to
//! each other, clues tell nothing ([`Ties::distrust`]). No address is better than a wrong one.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use rustc_hash::FxHashMap;

use super::TieRule;
use crate::event::Direction;

/// TLS records of this type carry application data (RFC 8446, section 5.1), and in TLS 1.3 all that is encrypted.
pub const APPLICATION_DATA: u8 = 23;

/// The most plaintext that a record has.
const PLAINTEXT_MAX: u64 = 1 << 14;
/// Bytes of a record's head.
const RECORD_HEAD: u64 = 5;
/// By how many bytes a record is longer than its plaintext: from AES-CCM-8 in TLS 1.3, to AES-CBC with SHA-384 in TLS 1.2.
const OVERHEAD: RangeInclusive<u64> = 9..=80;
/// TLS records of this type stand before the one that ends a handshake (RFC 8446, appendix D.4).
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
/// The first, and the record of a handshake's end with its head: 12 to 48 bytes, and four, and its own overhead.
const FINISHED_AND_OVERHEAD: RangeInclusive<u64> = 9 + 30..=80 + 137;

/// A thread moved TLS records of a socket and plaintext of an object, one right after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clue {
    /// The TLS object.
    pub object: u64,
    /// The socket; in the direction *in*, the only one that the thread had read TLS records of since its last read of plaintext.
    pub carrier: u64,
    /// The way of the bytes.
    pub direction: Direction,
    /// Bytes of plaintext, 0 if there were none: of a handshake that goes on.
    pub plain: u64,
    /// Type of the first record.
    pub content: u8,
    /// Length of the first record, without its head.
    pub record: u64,
    /// Bytes of ciphertext, of all records with their heads.
    pub moved: u64,
}

impl Clue {
    /// Whether the plaintext can have become the first record, or have come from it or from the last one: the end of a handshake
    /// is often read together with the first request.
    fn fits(&self) -> bool {
        let fits = |bytes: u64, overhead: RangeInclusive<u64>| {
            let over = bytes.checked_sub(self.plain.min(PLAINTEXT_MAX));
            over.is_some_and(|bytes| overhead.contains(&bytes))
        };
        let behind_first = self.moved.checked_sub(self.record.saturating_add(2 * RECORD_HEAD));
        let last = behind_first.filter(|_| self.direction == Direction::In).is_some_and(|bytes| match self.content {
            CHANGE_CIPHER_SPEC => fits(bytes, FINISHED_AND_OVERHEAD),
            _ => fits(bytes, OVERHEAD),
        });
        self.plain > 0 && (self.content == APPLICATION_DATA && fits(self.record, OVERHEAD) || last)
    }

    /// Whether the records are of a handshake: what was written to the object then went to the socket, whatever the lengths.
    fn is_handshake(&self) -> bool {
        matches!(self.content, CHANGE_CIPHER_SPEC | HANDSHAKE)
    }
}

/// What evidence has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The object's carrier is known.
    Tied {
        /// The socket.
        carrier: u64,
        /// How that is known.
        rule: TieRule,
    },
    /// Evidence contradicts other evidence: the carrier is not known, and will not be. Said once of an object.
    Untied,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unknown,
    /// The socket of all reads, and whether a handshake was written to it, too.
    Suspected(u64, bool),
    Tied(u64, TieRule),
    Contradicted,
}

/// The ties of open TLS objects: a pure function of the evidence, in its order.
#[derive(Debug)]
pub struct Ties {
    objects: FxHashMap<u64, State>,
    /// The object that each carrier is tied to.
    carriers: FxHashMap<u64, u64>,
    /// In the order of their first evidence, with some that are closed.
    order: VecDeque<u64>,
    max: usize,
    contradictions: u64,
}

impl Ties {
    /// No ties; at most `max` objects are remembered, the latest.
    pub fn new(max: usize) -> Self {
        Self {
            objects: FxHashMap::default(),
            carriers: FxHashMap::default(),
            order: VecDeque::new(),
            max: max.max(1),
            contradictions: 0,
        }
    }

    /// The carrier of an object, if it is known.
    pub fn carrier(&self, object: u64) -> Option<u64> {
        match self.objects.get(&object) {
            Some(State::Tied(carrier, _)) => Some(*carrier),
            _ => None,
        }
    }

    /// The object that a socket carries, if it is known.
    pub fn object(&self, carrier: u64) -> Option<u64> {
        self.carriers.get(&carrier).copied()
    }

    /// Of how many objects evidence contradicted other evidence.
    pub const fn contradictions(&self) -> u64 {
        self.contradictions
    }

    /// Takes in certain evidence. Returns what is new by it.
    pub fn certain(&mut self, object: u64, carrier: u64, rule: TieRule) -> Option<Finding> {
        match self.state(object) {
            State::Tied(known, _) if known == carrier => None,
            State::Contradicted => None,
            State::Tied(..) => self.contradict(object),
            State::Unknown | State::Suspected(..) => Some(self.tie(object, carrier, rule)),
        }
    }

    /// Takes in that evidence which would be certain contradicts itself.
    pub fn contradicted(&mut self, object: u64) -> Option<Finding> {
        match self.state(object) {
            State::Contradicted => None,
            _ => self.contradict(object),
        }
    }

    /// Takes in that clues tell nothing of an object's carrier. Returns what is new by it.
    pub fn distrust(&mut self, object: u64) -> Option<Finding> {
        match self.state(object) {
            State::Tied(_, TieRule::Records) => self.contradict(object),
            _ => None,
        }
    }

    /// Takes in a clue. Returns what is new by it.
    pub fn clue(&mut self, clue: &Clue) -> Option<Finding> {
        let Clue { object, carrier, .. } = *clue;
        let out = clue.direction == Direction::Out;
        match self.state(object) {
            State::Tied(known, rule) if known != carrier && rule == TieRule::Records && !out => self.contradict(object),
            State::Suspected(known, _) if known != carrier && !out => self.contradict(object),
            State::Unknown if out => None,
            State::Suspected(known, _) if known != carrier => None,
            // One socket carries one object.
            State::Unknown | State::Suspected(..)
                if self.carriers.get(&carrier).is_some_and(|&other| other != object) =>
            {
                self.contradict(object)
            }
            State::Suspected(_, written) if (out || written) && clue.fits() => {
                Some(self.tie(object, carrier, TieRule::Records))
            }
            State::Suspected(_, written) => {
                self.objects.insert(object, State::Suspected(carrier, written || out && clue.is_handshake()));
                None
            }
            State::Unknown => {
                self.objects.insert(object, State::Suspected(carrier, false));
                None
            }
            State::Tied(..) | State::Contradicted => None,
        }
    }

    /// The object is no more.
    pub fn close_object(&mut self, object: u64) {
        if let Some(State::Tied(carrier, _)) = self.objects.remove(&object) {
            self.release(carrier, object);
        }
    }

    /// The socket is no more. Returns the object that it carried, which is forgotten.
    pub fn close_carrier(&mut self, carrier: u64) -> Option<u64> {
        let object = self.carriers.remove(&carrier)?;
        self.objects.remove(&object);
        Some(object)
    }

    fn state(&mut self, object: u64) -> State {
        if let Some(state) = self.objects.get(&object) {
            return *state;
        }
        while self.objects.len() >= self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.close_object(oldest);
        }
        if self.order.len() > 2 * self.max {
            let objects = &self.objects;
            self.order.retain(|object| objects.contains_key(object));
        }
        self.order.push_back(object);
        self.objects.insert(object, State::Unknown);
        State::Unknown
    }

    fn tie(&mut self, object: u64, carrier: u64, rule: TieRule) -> Finding {
        self.objects.insert(object, State::Tied(carrier, rule));
        self.carriers.insert(carrier, object);
        Finding::Tied { carrier, rule }
    }

    fn contradict(&mut self, object: u64) -> Option<Finding> {
        self.contradictions += 1;
        if let Some(State::Tied(carrier, _)) = self.objects.insert(object, State::Contradicted) {
            self.release(carrier, object);
        }
        Some(Finding::Untied)
    }

    fn release(&mut self, carrier: u64, object: u64) {
        if self.carriers.get(&carrier) == Some(&object) {
            self.carriers.remove(&carrier);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(object: u64, carrier: u64, plain: u64, record: u64) -> Clue {
        Clue { object, carrier, direction: Direction::In, plain, content: APPLICATION_DATA, record, moved: record + 5 }
    }

    fn written(object: u64, carrier: u64, plain: u64, record: u64) -> Clue {
        Clue { direction: Direction::Out, ..read(object, carrier, plain, record) }
    }

    /// Both ways of a handshake.
    fn shake_hands(ties: &mut Ties, object: u64, carrier: u64) {
        let read = Clue { content: HANDSHAKE, ..read(object, carrier, 0, 400) };
        assert_eq!(ties.clue(&read), None);
        assert_eq!(ties.clue(&Clue { direction: Direction::Out, ..read }), None);
    }

    const TIED: Option<Finding> = Some(Finding::Tied { carrier: 7, rule: TieRule::Records });

    #[test]
    fn both_ways_and_a_clue_that_fits_tie_and_another_socket_unties_for_good() {
        let mut ties = Ties::new(10);
        shake_hands(&mut ties, 1, 7);
        assert_eq!(ties.clue(&read(1, 7, 100, 117)), TIED);
        assert_eq!((ties.carrier(1), ties.object(7)), (Some(7), Some(1)));
        assert_eq!(ties.clue(&read(1, 8, 100, 117)), Some(Finding::Untied));
        assert_eq!(ties.clue(&read(1, 7, 100, 117)), None);
        assert_eq!((ties.carrier(1), ties.object(7), ties.contradictions()), (None, None, 1));
    }

    #[test]
    fn one_way_alone_ties_nothing() {
        let mut ties = Ties::new(10);
        // Two threads that read a socket each and decrypt what the other one has read.
        for _ in 0..3 {
            for (object, read_from, written_to) in [(1, 8, 7), (2, 7, 8)] {
                assert_eq!(ties.clue(&read(object, read_from, 100, 117)), None);
                assert_eq!(ties.clue(&written(object, written_to, 50, 67)), None);
            }
        }
        assert_eq!((ties.carrier(1), ties.carrier(2)), (None, None));
        // An object that is joined late: a request that is read, and an answer that is written.
        assert_eq!(ties.clue(&read(3, 9, 100, 117)), None);
        assert_eq!(ties.clue(&written(3, 9, 50, 67)), Some(Finding::Tied { carrier: 9, rule: TieRule::Records }));
    }

    #[test]
    fn handshakes_on_two_sockets_tell_that_adjacency_means_nothing_here() {
        let mut ties = Ties::new(10);
        assert_eq!(ties.clue(&read(1, 7, 0, 40)), None);
        assert_eq!(ties.clue(&read(1, 8, 0, 40)), Some(Finding::Untied));
        for clue in [read(1, 7, 100, 117), written(1, 7, 100, 117)] {
            assert_eq!(ties.clue(&clue), None, "it is said once");
        }
        assert_eq!((ties.carrier(1), ties.contradictions()), (None, 1));
    }

    #[test]
    fn lengths_have_to_fit() {
        let clue = |clue: &Clue| {
            let mut ties = Ties::new(1);
            shake_hands(&mut ties, 1, 7);
            ties.clue(clue)
        };
        for (plain, record, fits) in [
            (100, 117, true),
            (100, 109, true),
            (100, 180, true),
            (100, 108, false),
            (100, 181, false),
            (100, 50, false),
            (0, 17, false),
            (40_000, 16_401, true),
        ] {
            assert_eq!(clue(&read(1, 7, plain, record)), TIED.filter(|_| fits), "{plain} in {record}");
        }
        let handshake = Clue { content: HANDSHAKE, ..read(1, 7, 100, 117) };
        assert_eq!(clue(&handshake), None);
        let behind_handshake = Clue { record: 53, moved: 58 + 5 + 117, ..handshake };
        assert_eq!(clue(&behind_handshake), TIED);
        assert_eq!(clue(&Clue { moved: 58 + 5 + 181, ..behind_handshake }), None);
        let behind_cipher_change =
            Clue { content: CHANGE_CIPHER_SPEC, record: 1, moved: 6 + 74 + 5 + 117, ..handshake };
        assert_eq!(clue(&behind_cipher_change), TIED);
        assert_eq!(clue(&Clue { moved: 6 + 5 + 117, ..behind_cipher_change }), None);
    }

    #[test]
    fn records_on_their_way_for_long_contradict_nothing() {
        let mut ties = Ties::new(10);
        shake_hands(&mut ties, 1, 7);
        assert_eq!(ties.clue(&read(1, 7, 100, 117)), TIED);
        assert_eq!(ties.clue(&written(1, 8, 100, 117)), None);
        assert_eq!(ties.carrier(1), Some(7));
        // They confirm what a read suggested, and suggest nothing.
        assert_eq!(ties.clue(&written(2, 9, 100, 117)), None);
        ties.clue(&read(2, 9, 0, 40));
        assert_eq!(ties.clue(&written(2, 9, 100, 117)), Some(Finding::Tied { carrier: 9, rule: TieRule::Records }));
    }

    #[test]
    fn a_socket_carries_one_object_until_that_is_closed() {
        let mut ties = Ties::new(10);
        shake_hands(&mut ties, 1, 7);
        ties.clue(&read(1, 7, 100, 117));
        assert_eq!(ties.clue(&read(2, 7, 100, 117)), Some(Finding::Untied));
        assert_eq!(ties.object(7), Some(1));
        ties.close_object(1);
        shake_hands(&mut ties, 3, 7);
        assert_eq!(ties.clue(&read(3, 7, 100, 117)), TIED);
        assert_eq!(ties.close_carrier(7), Some(3));
        assert_eq!(ties.carrier(3), None);
    }

    #[test]
    fn what_is_certain_outweighs_clues_and_not_itself() {
        let mut ties = Ties::new(10);
        ties.clue(&read(1, 7, 0, 40));
        let tied = Some(Finding::Tied { carrier: 9, rule: TieRule::Call });
        assert_eq!(ties.certain(1, 9, TieRule::Call), tied);
        assert_eq!(ties.clue(&read(1, 7, 100, 117)), None);
        assert_eq!(ties.certain(1, 9, TieRule::SetFd), None);
        assert_eq!(ties.certain(1, 8, TieRule::Call), Some(Finding::Untied));
        assert_eq!(ties.certain(1, 9, TieRule::Call), None);
    }

    #[test]
    fn distrust_unties_what_only_clues_tie() {
        let mut ties = Ties::new(10);
        shake_hands(&mut ties, 1, 7);
        ties.clue(&read(1, 7, 100, 117));
        ties.certain(2, 8, TieRule::Call);
        assert_eq!([1, 2, 3].map(|object| ties.distrust(object)), [Some(Finding::Untied), None, None]);
        assert_eq!([1, 2].map(|object| ties.carrier(object)), [None, Some(8)]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Distrust(u64),
        Certain(u64, u64),
        Clue(Clue),
        CloseObject(u64),
        CloseCarrier(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let clue = (0..9u64, 0..9u64, any::<bool>(), 0..200u64, 22..24u8, 0..300u64).prop_map(
            |(object, carrier, out, plain, content, record)| {
                let direction = if out { Direction::Out } else { Direction::In };
                Step::Clue(Clue { object, carrier, direction, plain, content, record, moved: 2 * record })
            },
        );
        prop_oneof![
            1 => (0..9u64, 0..9u64).prop_map(|(object, carrier)| Step::Certain(object, carrier)),
            1 => (0..9u64).prop_map(Step::Distrust),
            6 => clue,
            1 => (0..9u64).prop_map(Step::CloseObject),
            1 => (0..9u64).prop_map(Step::CloseCarrier),
        ]
    }

    proptest! {
        /// Whatever the evidence: bounded, and never two sockets that disagree about whose they are.
        #[test]
        fn ties_are_consistent_and_bounded(steps in proptest::collection::vec(step(), 0..200)) {
            let mut ties = Ties::new(5);
            for step in steps {
                match step {
                    Step::Certain(object, carrier) => drop(ties.certain(object, carrier, TieRule::Call)),
                    Step::Distrust(object) => drop(ties.distrust(object)),
                    Step::Clue(clue) => drop(ties.clue(&clue)),
                    Step::CloseObject(object) => ties.close_object(object),
                    Step::CloseCarrier(carrier) => drop(ties.close_carrier(carrier)),
                }
                prop_assert!(ties.objects.len() <= 5 && ties.carriers.len() <= 5 && ties.order.len() <= 11);
                for carrier in 0..9 {
                    if let Some(object) = ties.object(carrier) {
                        prop_assert_eq!(ties.carrier(object), Some(carrier));
                    }
                }
            }
        }

        /// Threads that each work for one connection at a time: every tie that is found is the true one.
        #[test]
        fn adjacency_never_ties_to_another_connection(order in proptest::collection::vec((0..32u64, 1..400u64, 9..40u64), 1..300)) {
            let mut ties = Ties::new(64);
            for (conn, plain, overhead) in order {
                ties.clue(&read(conn, 1000 + conn, plain, plain + overhead));
                ties.clue(&written(conn, 1000 + conn, plain, plain + overhead));
                prop_assert_eq!(ties.carrier(conn), Some(1000 + conn));
            }
            prop_assert_eq!(ties.contradictions(), 0);
        }
    }
}
