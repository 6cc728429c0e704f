//! One connection of a tape as TCP segments.

use std::net::{Ipv4Addr, SocketAddr};

use redtape_core::{ConnInfo, Direction};

/// What is known of a connection's packets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Talk {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) interface: u32,
    /// The sequence number of position 0: of what is received, and of what is sent.
    bases: [u32; 2],
    /// The position behind the last byte that was told, of both.
    next: [u64; 2],
    /// The directions that have ended.
    pub(super) ended: [bool; 2],
    /// The handshake was told.
    pub(super) begun: bool,
    pub(super) is_http2: bool,
    /// Bytes were told of.
    pub(super) has_data: bool,
    /// The other end of the connection is in the capture, too. Who reads segments twice takes them for retransmissions, and is
    /// led astray where the two ends made different calls.
    pub(super) is_other_end: bool,
    /// It carries TLS records: there is nothing to dissect, and its plaintext may stand under the same addresses.
    pub(super) is_records: bool,
}

impl Talk {
    pub(super) fn new(info: &ConnInfo, interface: u32) -> Self {
        let (local, remote) = info.endpoint.map_or_else(|| unknown(info.id), |ends| (ends.local, ends.remote));
        let base = |isn: Option<u32>, from: SocketAddr, to: SocketAddr| {
            isn.map_or_else(|| made_up(from, to), |isn| isn.wrapping_add(1))
        };
        Self {
            local,
            remote,
            interface,
            bases: [base(info.isn_remote, remote, local), base(info.isn_local, local, remote)],
            next: [info.first_in, info.first_out],
            ended: [false; 2],
            begun: false,
            is_http2: false,
            has_data: false,
            is_other_end: false,
            is_records: false,
        }
    }

    /// Who sends in a direction, and who receives.
    pub(super) fn ends(&self, direction: Direction) -> (SocketAddr, SocketAddr) {
        match direction {
            Direction::In => (self.remote, self.local),
            Direction::Out => (self.local, self.remote),
        }
    }

    /// The sequence number of a position.
    pub(super) fn seq(&self, direction: Direction, pos: u64) -> u32 {
        let [received, sent] = self.bases;
        let base = if direction == Direction::In { received } else { sent };
        // Sequence numbers wrap around: the low bits are what counts.
        base.wrapping_add(u32::try_from(pos & u64::from(u32::MAX)).unwrap_or_default())
    }

    /// The position behind what was told of a direction.
    pub(super) const fn next(&self, direction: Direction) -> u64 {
        let [received, sent] = self.next;
        match direction {
            Direction::In => received,
            Direction::Out => sent,
        }
    }

    /// A direction was told up to `pos`.
    pub(super) fn reach(&mut self, direction: Direction, pos: u64) {
        let [received, sent] = &mut self.next;
        let next = if direction == Direction::In { received } else { sent };
        *next = pos.max(*next);
    }

    /// What who sends in a direction acknowledges: all that was told of the other one.
    pub(super) fn ack(&self, direction: Direction) -> u32 {
        let other = direction.reverse();
        let fin = self.ended.get(index(other)).copied().unwrap_or_default();
        self.seq(other, self.next(other)).wrapping_add(u32::from(fin))
    }
}

/// The place of a direction in arrays.
pub(super) const fn index(direction: Direction) -> usize {
    match direction {
        Direction::In => 0,
        Direction::Out => 1,
    }
}

/// Addresses of a connection of which none are known, from a block for documentation (RFC 5737).
fn unknown(id: u64) -> (SocketAddr, SocketAddr) {
    let [a, b, c, ..] = id.to_le_bytes();
    let port = u16::from_le_bytes([a, b]) | 0x8000;
    ((Ipv4Addr::new(198, 51, 100, c), port).into(), (Ipv4Addr::new(203, 0, 113, c), port).into())
}

/// A first sequence number where none is known: the same for both ends.
fn made_up(from: SocketAddr, to: SocketAddr) -> u32 {
    let text = format!("{} {}", canonical(from), canonical(to));
    // 32 bits of the hash are enough.
    u32::try_from(twox_hash::XxHash3_128::oneshot(text.as_bytes()) >> 96).unwrap_or_default()
}

pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
