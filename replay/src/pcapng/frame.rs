//! Frames: TCP segments with their headers, as they could have been on a wire.

use std::net::{IpAddr, SocketAddr};

/// A TCP segment to be made a frame of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    /// The beginning of the payload.
    pub(super) payload: &'a [u8],
    /// How long it really was, at most [`MAX_PAYLOAD`].
    pub(super) len: u32,
    /// Dissectors are to leave it alone.
    pub(super) is_hidden: bool,
}

/// Bits of [`Frame::flags`].
pub(super) mod flag {
    pub(crate) const FIN: u8 = 1;
    pub(crate) const SYN: u8 = 2;
    pub(crate) const RST: u8 = 4;
    pub(crate) const PSH: u8 = 8;
    pub(crate) const ACK: u8 = 16;
}

/// The longest payload of a segment: with its headers it fits what an IPv4 header can say.
pub(super) const MAX_PAYLOAD: u32 = 65_495;

/// The Ethernet addresses of all ends: locally administered ones, by who sends. Nothing is known of the real ones.
const ETHERNET: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

/// What Ethernet says of a frame of which only who made it knows the form (IEEE 802, local experimental).
const HIDDEN: [u8; 2] = [0x88, 0xb5];

impl Frame<'_> {
    /// Appends the frame, as far as its payload is there. Returns how long it would be with all of it.
    pub(super) fn put(&self, out: &mut Vec<u8>) -> u32 {
        let start = out.len();
        out.extend_from_slice(&ETHERNET);
        let len = 20 + self.len;
        match (self.from.ip().to_canonical(), self.to.ip().to_canonical()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                out.extend_from_slice(if self.is_hidden { &HIDDEN } else { &[0x08, 0x00] });
                let at = out.len();
                // No fragments, 64 hops, TCP.
                out.extend_from_slice(&[0x45, 0]);
                out.extend_from_slice(&length(20 + len));
                out.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0]);
                out.extend_from_slice(&from.octets());
                out.extend_from_slice(&to.octets());
                let sum = checksum(out.get(at..).unwrap_or_default());
                if let Some(place) = out.get_mut(at + 10..at + 12) {
                    place.copy_from_slice(&sum);
                }
            }
            (from, to) => {
                out.extend_from_slice(if self.is_hidden { &HIDDEN } else { &[0x86, 0xdd] });
                out.extend_from_slice(&[0x60, 0, 0, 0]);
                out.extend_from_slice(&length(len));
                out.extend_from_slice(&[6, 64]);
                out.extend_from_slice(&v6(from));
                out.extend_from_slice(&v6(to));
            }
        }
        out.extend_from_slice(&self.from.port().to_be_bytes());
        out.extend_from_slice(&self.to.port().to_be_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.ack.to_be_bytes());
        // Without a checksum: nobody checked one, and of cut payload there is none.
        out.extend_from_slice(&[0x50, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        let headers = out.len() - start;
        out.extend_from_slice(self.payload);
        u32::try_from(headers).unwrap_or(u32::MAX).saturating_add(self.len)
    }
}

fn length(len: u32) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}

fn v6(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The checksum of an IPv4 header (RFC 1071).
fn checksum(header: &[u8]) -> [u8; 2] {
    let words = header.chunks_exact(2).filter_map(|word| Some(u32::from(u16::from_be_bytes(word.try_into().ok()?))));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    (!u16::try_from(sum).unwrap_or_default()).to_be_bytes()
}
