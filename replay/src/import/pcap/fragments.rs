//! IP packets that were sent in pieces (RFC 791, section 3.2; RFC 8200, section 4.5).

use std::collections::VecDeque;
use std::net::IpAddr;

use etherparse::defrag::IpDefragBuf;
use etherparse::{IpFragOffset, IpNumber};

use crate::import::limits::FRAGMENTED_PACKETS;

/// Which packet a fragment is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FragmentId {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) number: u32,
    pub(super) protocol: IpNumber,
}

/// A part of an IP packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    pub(super) id: FragmentId,
    pub(super) offset: IpFragOffset,
    pub(super) more: bool,
    pub(super) bytes: &'a [u8],
}

/// Packets of which not all fragments have come yet, the oldest first. There are few, and each has at most 64 KiB.
#[derive(Default)]
pub(super) struct Fragments {
    waiting: VecDeque<(FragmentId, IpDefragBuf)>,
}

impl Fragments {
    /// Takes a fragment in. Returns the payload of the whole packet, if it was the last one missing, and whether another
    /// packet had to be forgotten.
    pub(super) fn add(&mut self, fragment: &Fragment<'_>) -> (Option<Vec<u8>>, bool) {
        let Fragment { id, offset, more, bytes } = *fragment;
        let at = self.waiting.iter().position(|(known, _)| *known == id).unwrap_or(self.waiting.len());
        if at == self.waiting.len() {
            self.waiting.push_back((id, IpDefragBuf::new(id.protocol, Vec::new(), Vec::new())));
        }
        // A fragment that contradicts the others changes nothing.
        let complete = self
            .waiting
            .get_mut(at)
            .is_some_and(|(_, buffer)| buffer.add(offset, more, bytes).is_ok() && buffer.is_complete());
        if complete {
            return (self.waiting.remove(at).map(|(_, buffer)| buffer.take_bufs().0), false);
        }
        let full = self.waiting.len() > FRAGMENTED_PACKETS;
        if full {
            self.waiting.pop_front();
        }
        (None, full)
    }

    /// How many packets lack fragments.
    pub(super) fn unfinished(&self) -> u64 {
        self.waiting.len() as u64
    }
}
