//! One direction of a TCP connection: where its sequence numbers are in the stream of bytes.

use crate::import::limits::WINDOW;

/// Positions count from the first byte after the handshake, or from the first one that was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stream {
    /// The sequence number of position 0; `None` until anything was seen of the direction.
    base: Option<u32>,
    /// The initial sequence number, if the SYN was seen.
    pub(super) isn: Option<u32>,
    /// The position of the next byte.
    pub(super) next: u64,
    /// What the receiver has acknowledged: positions up to this one.
    pub(super) acked: u64,
    /// Segments of this direction were seen.
    pub(super) seen: bool,
    /// It has ended, and nothing follows.
    pub(super) ended: bool,
}

impl Stream {
    /// It begins with this SYN.
    pub(super) fn begin(&mut self, isn: u32) {
        (self.isn, self.base) = (Some(isn), Some(isn.wrapping_add(1)));
    }

    /// Whether a SYN with this number is another connection's than what was seen.
    pub(super) fn is_begun_elsewhere(&self, isn: u32) -> bool {
        match self.isn {
            Some(known) => known != isn,
            // What came before its SYN in the capture may be what comes behind it in the stream.
            None => self.seen && self.base != Some(isn.wrapping_add(1)),
        }
    }

    /// It has come to this sequence number, if it is not known already where it is.
    pub(super) fn join(&mut self, seq: u32) {
        self.base.get_or_insert(seq);
    }

    /// How far ahead of the next byte a sequence number is; negative behind it. Sequence numbers wrap around (RFC 9293,
    /// section 3.4), so it is the nearest such place.
    pub(super) fn ahead(&self, seq: u32) -> Option<i64> {
        // The low 32 bits of a position are what sequence numbers count.
        let next = self.base?.wrapping_add(u32::try_from(self.next & u64::from(u32::MAX)).unwrap_or_default());
        Some(i64::from(seq.wrapping_sub(next).cast_signed()))
    }

    /// Whether a reset with this sequence number ends the connection. A receiver drops one that lies before what it has
    /// acknowledged or behind its window (RFC 9293, section 3.10.7.4); how large that is, is not looked at here.
    pub(super) fn takes_reset(&self, seq: u32) -> bool {
        let first = i64::try_from(self.next.saturating_sub(self.acked)).unwrap_or(i64::MAX);
        !self.seen || self.ahead(seq).is_none_or(|ahead| (-first..=WINDOW).contains(&ahead))
    }

    /// The position of a sequence number; `None` before position 0.
    pub(super) fn position(&self, seq: u32) -> Option<u64> {
        self.next.checked_add_signed(self.ahead(seq)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_wrap_around() {
        let mut stream = Stream::default();
        stream.begin(u32::MAX - 2);
        assert_eq!(stream.position(u32::MAX - 1), Some(0));
        assert_eq!(stream.position(3), Some(5));
        assert_eq!(stream.position(u32::MAX - 2), None, "the SYN itself");
        stream.next = (7 << 32) + 5;
        assert_eq!(stream.position(3), Some((7 << 32) + 5));
        assert_eq!(stream.position(0), Some((7 << 32) + 2));
        assert_eq!((stream.ahead(13), stream.ahead(u32::MAX)), (Some(10), Some(-4)));
    }

    #[test]
    fn a_reset_counts_between_what_was_acknowledged_and_the_window() {
        let mut stream = Stream::default();
        stream.begin(999);
        assert!(stream.takes_reset(5), "nothing is known of the direction");
        (stream.seen, stream.next, stream.acked) = (true, 500, 300);
        let taken = [1299, 1300, 1500, 1600, 1500 + 20_000_000, 999].map(|seq| stream.takes_reset(seq));
        assert_eq!(taken, [false, true, true, true, false, false]);
        stream.acked = 700;
        assert!(stream.takes_reset(1500), "the capture lacks what was acknowledged, and may have this out of order");
    }
}
