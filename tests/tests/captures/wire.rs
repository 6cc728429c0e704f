//! Packets as no server on loopback sends them: made one by one, and written to a pcap file.

use std::fs;
use std::path::{Path, PathBuf};

use etherparse::{
    IpFragOffset, IpHeaders, IpNumber, Ipv4Header, Ipv6Extensions, Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader,
    PacketBuilder,
};
use redtape_tests::Result;

/// The server's port.
pub(crate) const PORT: u16 = 80;

/// The IP packet of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ip {
    V4,
    V6,
    /// With options for every hop and for the destination.
    V6Extended,
}

/// What a segment is about, besides its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    Syn,
    Fin,
    Rst,
    None,
}

/// Both ends of a TCP connection. End 0 is the client.
#[derive(Debug)]
pub(crate) struct Talk {
    ip: Ip,
    port: u16,
    /// The next sequence number of each end.
    pub(crate) next: [u32; 2],
    /// IP packets, in the order of the capture.
    pub(crate) packets: Vec<Vec<u8>>,
}

impl Talk {
    /// The handshake, with these initial sequence numbers.
    pub(crate) fn open(ip: Ip, port: u16, isn: [u32; 2]) -> Self {
        let mut talk = Self { ip, port, next: isn, packets: Vec::new() };
        talk.segment(0, Flag::Syn, b"");
        talk.segment(1, Flag::Syn, b"");
        talk.segment(0, Flag::None, b"");
        talk
    }

    /// The next segment of an end.
    pub(crate) fn segment(&mut self, from: usize, flag: Flag, payload: &[u8]) {
        self.segment_at(from, self.next[from], flag, payload);
        let len = u32::try_from(payload.len()).unwrap() + u32::from(matches!(flag, Flag::Syn | Flag::Fin));
        self.next[from] = self.next[from].wrapping_add(len);
    }

    /// A segment of an end with this sequence number, after which the end is where it was.
    pub(crate) fn segment_at(&mut self, from: usize, seq: u32, flag: Flag, payload: &[u8]) {
        let (source, destination) = if from == 0 { (self.port, PORT) } else { (PORT, self.port) };
        let mut tcp = PacketBuilder::ip(self.headers(from)).tcp(source, destination, seq, 64_000);
        tcp = match flag {
            Flag::Syn => tcp.syn(),
            Flag::Fin => tcp.fin(),
            Flag::Rst => tcp.rst(),
            Flag::None => tcp,
        };
        if flag != Flag::Syn || from == 1 {
            tcp = tcp.ack(self.next[1 - from]);
        }
        let mut packet = Vec::new();
        tcp.write(&mut packet, payload).unwrap();
        self.packets.push(packet);
    }

    /// A request and its response; the request has a head of more than `padding` bytes.
    pub(crate) fn call(&mut self, status: u16, padding: usize) {
        let padding = "x".repeat(padding);
        let request = format!("GET /things HTTP/1.1\r\nHost: shop\r\nX-Padding: {padding}\r\n\r\n");
        self.segment(0, Flag::None, request.as_bytes());
        self.respond(status);
    }

    /// A response.
    pub(crate) fn respond(&mut self, status: u16) {
        let response = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 5\r\n\r\nhello");
        self.segment(1, Flag::None, response.as_bytes());
    }

    /// Both ends are done.
    pub(crate) fn close(&mut self) {
        self.segment(0, Flag::Fin, b"");
        self.segment(1, Flag::Fin, b"");
        self.segment(0, Flag::None, b"");
    }

    fn headers(&self, from: usize) -> IpHeaders {
        let ends = [1, 2];
        let (own, other) = (ends[from], ends[1 - from]);
        if self.ip == Ip::V4 {
            let [source, destination] = [own, other].map(|host| [10, 0, 0, host]);
            return IpHeaders::Ipv4(
                Ipv4Header { source, destination, time_to_live: 64, ..Ipv4Header::default() },
                Default::default(),
            );
        }
        let [source, destination] = [own, other].map(|host| [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
        let header = Ipv6Header { source, destination, hop_limit: 64, ..Ipv6Header::default() };
        // An option that pads (RFC 8200, section 4.2).
        let options = || Ipv6RawExtHeader::new_raw(IpNumber::TCP, &[1, 4, 0, 0, 0, 0]).ok();
        let extensions = match self.ip {
            Ip::V6Extended => Ipv6Extensions {
                hop_by_hop_options: options(),
                destination_options: options(),
                ..Ipv6Extensions::default()
            },
            _ => Ipv6Extensions::default(),
        };
        IpHeaders::Ipv6(header, extensions)
    }
}

/// The fragments of an IP packet, each of at most `size` bytes of its payload, a multiple of 8.
pub(crate) fn fragments(packet: &[u8], number: u16, size: usize) -> Vec<Vec<u8>> {
    let is_v4 = packet[0] >> 4 == 4;
    let payload = &packet[if is_v4 { 20 } else { 40 }..];
    let parts = payload.chunks(size).enumerate().map(|(at, part)| {
        let offset = IpFragOffset::try_new(u16::try_from(at * size / 8).unwrap()).unwrap();
        let more = (at + 1) * size < payload.len();
        let mut fragment = Vec::new();
        if is_v4 {
            let (mut header, _) = Ipv4Header::from_slice(packet).unwrap();
            (header.identification, header.dont_fragment) = (number, false);
            (header.more_fragments, header.fragment_offset) = (more, offset);
            header.set_payload_len(part.len()).unwrap();
            header.header_checksum = header.calc_header_checksum();
            header.write(&mut fragment).unwrap();
        } else {
            let (mut header, _) = Ipv6Header::from_slice(packet).unwrap();
            let fragmented = Ipv6FragmentHeader::new(header.next_header, offset, more, number.into());
            header.next_header = IpNumber::IPV6_FRAGMENTATION_HEADER;
            header.set_payload_length(8 + part.len()).unwrap();
            header.write(&mut fragment).unwrap();
            fragmented.write(&mut fragment).unwrap();
        }
        fragment.extend(part);
        fragment
    });
    parts.collect()
}

/// What stands before an IP packet in a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Ethernet,
    /// With so many tags: one is IEEE 802.1Q, two are 802.1ad.
    Vlan(usize),
    /// The address family in the byte order of the host.
    Null,
    /// The address family in that of the network.
    Loop,
    Raw,
    /// Raw IP, with the number that tells the version.
    RawOfVersion,
}

impl Link {
    fn number(self, is_v4: bool) -> u32 {
        match self {
            Self::Ethernet | Self::Vlan(_) => 1,
            Self::Null => 0,
            Self::Loop => 108,
            Self::Raw => 101,
            Self::RawOfVersion if is_v4 => 228,
            Self::RawOfVersion => 229,
        }
    }

    fn header(self, is_v4: bool) -> Vec<u8> {
        let protocol = if is_v4 { 0x0800_u16 } else { 0x86dd };
        // Numbers of BSD.
        let family = if is_v4 { 2_u32 } else { 30 };
        let mut header = vec![2; 12];
        match self {
            Self::Ethernet => {}
            Self::Vlan(1) => header.extend([0x81, 0, 0x20, 7]),
            Self::Vlan(_) => header.extend([0x88, 0xa8, 0, 9, 0x81, 0, 0x20, 7]),
            Self::Null => return family.to_le_bytes().to_vec(),
            Self::Loop => return family.to_be_bytes().to_vec(),
            Self::Raw | Self::RawOfVersion => return Vec::new(),
        }
        header.extend(protocol.to_be_bytes());
        header
    }
}

/// Writes a pcap file of IP packets, a millisecond apart.
pub(crate) fn write(folder: &Path, link: Link, packets: &[Vec<u8>]) -> Result<PathBuf> {
    let is_v4 = packets.first().is_some_and(|packet| packet[0] >> 4 == 4);
    let mut file = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, link.number(is_v4)].map(u32::to_le_bytes).concat();
    for (at, packet) in packets.iter().enumerate() {
        let packet = [link.header(is_v4), packet.clone()].concat();
        let (len, at) = (u32::try_from(packet.len())?, u32::try_from(at)?);
        file.extend([1_700_000_000 + at / 1000, at % 1000 * 1000, len, len].map(u32::to_le_bytes).concat());
        file.extend(packet);
    }
    let path = folder.join("made.pcap");
    fs::write(&path, file)?;
    Ok(path)
}
