//! One captured packet: from its link layer to the TCP segment in it.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpFragOffset, IpNumber, Ipv6ExtensionSlice, Ipv6ExtensionsSlice, LaxIpSlice, TcpSlice};

use super::fragments::{Fragment, FragmentId};

/// A TCP segment as it was captured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seq: u32,
    pub(super) ack: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    /// The bytes of the payload that were captured, from the first one on.
    pub(super) payload: &'a [u8],
    /// How many bytes it really had.
    pub(super) len: u32,
}

/// What is in a packet.
pub(super) enum Packet<'a> {
    Tcp(Segment<'a>),
    /// A part of an IP packet.
    Fragment(Fragment<'a>),
    /// Something else than TCP.
    Other,
    /// A link type that is not read.
    UnknownLink,
    Malformed,
}

/// Link types (tcpdump.org/linktypes.html). Those of raw IP have several numbers, by system.
mod link {
    pub(super) const NULL: u32 = 0;
    pub(super) const ETHERNET: u32 = 1;
    pub(super) const LOOP: u32 = 108;
    pub(super) const LINUX_SLL: u32 = 113;
    pub(super) const IPV4: u32 = 228;
    pub(super) const IPV6: u32 = 229;
    pub(super) const LINUX_SLL2: u32 = 276;
}

/// Protocol numbers of Ethernet.
mod ether {
    pub(super) const IPV4: u16 = 0x0800;
    pub(super) const IPV6: u16 = 0x86dd;
    pub(super) const VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
}

/// Takes a packet of this link type apart; `len` is its true length.
pub(super) fn packet(link_type: u32, bytes: &[u8], len: usize) -> Packet<'_> {
    let cut = |at: usize| Some((bytes.get(at..)?, len.saturating_sub(at)));
    let found = match link_type {
        link::ETHERNET => ether(word(bytes, 12), bytes, 14),
        link::LINUX_SLL => ether(word(bytes, 14), bytes, 16),
        link::LINUX_SLL2 => ether(word(bytes, 0), bytes, 20),
        link::NULL | link::LOOP => Found::Ip(4),
        12 | 14 | 101 | link::IPV4 | link::IPV6 => Found::Ip(0),
        _ => return Packet::UnknownLink,
    };
    match found {
        Found::Ip(at) => cut(at).and_then(|(bytes, len)| ip(bytes, len)).unwrap_or(Packet::Malformed),
        Found::Other => Packet::Other,
        Found::Short => Packet::Malformed,
    }
}

/// The segment in a frame of an export, whatever its Ethernet header says of it.
pub(super) fn exported(bytes: &[u8], len: usize) -> Option<Segment<'_>> {
    const HEADER: usize = 14;
    match ip(bytes.get(HEADER..)?, len.saturating_sub(HEADER))? {
        Packet::Tcp(segment) => Some(segment),
        _ => None,
    }
}

enum Found {
    /// An IP packet begins there.
    Ip(usize),
    Other,
    Short,
}

/// Passes over VLAN tags (IEEE 802.1Q and 802.1ad): behind each is the next protocol.
fn ether(protocol: Option<u16>, bytes: &[u8], mut at: usize) -> Found {
    let mut protocol = protocol;
    loop {
        match protocol {
            None => return Found::Short,
            Some(ether::IPV4 | ether::IPV6) => return Found::Ip(at),
            Some(tag) if ether::VLAN.contains(&tag) => {
                protocol = word(bytes, at + 2);
                at += 4;
            }
            Some(_) => return Found::Other,
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// An IP packet of `len` bytes, of which `bytes` were captured. `None` if it is malformed.
fn ip(bytes: &[u8], len: usize) -> Option<Packet<'_>> {
    let (ip, _) = LaxIpSlice::from_slice(bytes).ok()?;
    // Packets that the network card was to segment may have no length of their own.
    let said = match &ip {
        LaxIpSlice::Ipv4(ip) => usize::from(ip.header().total_len()),
        LaxIpSlice::Ipv6(ip) => match ip.header().payload_length() {
            0 => 0,
            payload => usize::from(payload) + 40,
        },
    };
    let payload = ip.payload();
    let captured = if said == 0 { bytes.len() } else { bytes.len().min(said) };
    let headers = captured.checked_sub(payload.payload.len())?;
    let len = if said == 0 { len } else { said }.checked_sub(headers)?;
    let (from, to) = (ip.source_addr(), ip.destination_addr());
    if payload.fragmented {
        return Some(fragment(&ip, bytes, said).map_or(Packet::Malformed, Packet::Fragment));
    }
    Some(match payload.ip_number {
        IpNumber::TCP => tcp(from, to, payload.payload, len).map_or(Packet::Malformed, Packet::Tcp),
        _ => Packet::Other,
    })
}

/// The segment between these hosts, of `len` bytes with its header.
fn tcp(from: IpAddr, to: IpAddr, bytes: &[u8], len: usize) -> Option<Segment<'_>> {
    let tcp = TcpSlice::from_slice(bytes).ok()?;
    let payload = tcp.payload();
    let len = len.checked_sub(bytes.len() - payload.len())?;
    Some(Segment {
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        seq: tcp.sequence_number(),
        ack: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        payload: payload.get(..len).unwrap_or(payload),
        len: u32::try_from(len).ok()?,
    })
}

/// The segment in an IP packet that was put together, behind the extension headers that it may begin with.
pub(super) fn put_together<'a>(id: &FragmentId, bytes: &'a [u8]) -> Option<Segment<'a>> {
    let (protocol, bytes) = match id.from {
        IpAddr::V4(_) => (id.protocol, bytes),
        IpAddr::V6(_) => {
            let (_, protocol, bytes, _) = Ipv6ExtensionsSlice::from_slice_lax(id.protocol, bytes);
            (protocol, bytes)
        }
    };
    tcp(id.from, id.to, bytes, bytes.len()).filter(|_| protocol == IpNumber::TCP)
}

/// The part of an IP packet that this one is; `None` if not all of it was captured.
fn fragment<'a>(ip: &LaxIpSlice<'a>, bytes: &'a [u8], said: usize) -> Option<Fragment<'a>> {
    let (from, to) = (ip.source_addr(), ip.destination_addr());
    let (number, offset, more, protocol, headers): (u32, IpFragOffset, bool, IpNumber, usize) = match ip {
        LaxIpSlice::Ipv4(ip) => {
            let header = ip.header();
            let headers = header.slice().len() + ip.extensions().auth.as_ref().map_or(0, |auth| auth.slice().len());
            let number = header.identification().into();
            (number, header.fragments_offset(), header.more_fragments(), ip.payload().ip_number, headers)
        }
        LaxIpSlice::Ipv6(ip) => {
            // What stands behind its header is of the fragment, further extension headers among it.
            let mut headers = ip.header().slice().len();
            let header = ip.extensions().clone().into_iter().find_map(|extension| {
                use Ipv6ExtensionSlice::{Authentication, DestinationOptions, Fragment, HopByHop, Routing};
                headers += match &extension {
                    HopByHop(header) | Routing(header) | DestinationOptions(header) => header.slice().len(),
                    Authentication(header) => header.slice().len(),
                    Fragment(header) => header.slice().len(),
                };
                if let Fragment(header) = extension { Some(header) } else { None }
            })?;
            let (offset, more) = (header.fragment_offset(), header.more_fragments());
            (header.identification(), offset, more, header.next_header(), headers)
        }
    };
    let id = FragmentId { from, to, number, protocol };
    Some(Fragment { id, offset, more, bytes: bytes.get(headers..said)? })
}
