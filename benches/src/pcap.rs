//! The workload as packets, so that reading a capture can be measured, and other readers of packets be given the same transactions.
//!
//! Each call becomes TCP segments in Ethernet and IPv4, of which those of a server's own network card would be as long: up to 64 KiB less the
//! headers. What of a payload no tape has is zeros.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use redtape_core::synth::Workload;
use redtape_core::{Body, ConnKey, Data, Direction, Endpoint};

/// Bytes of a segment, at most.
const SEGMENT: usize = 64_000;

/// Bytes of all headers of a packet: Ethernet, IPv4, TCP.
const HEADERS: usize = 14 + 20 + 20;

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

struct Connection {
    key: ConnKey,
    endpoint: Endpoint,
    /// The next sequence number of each direction.
    next: [u32; 2],
}

/// Writes a workload as tcpdump would have captured it, and gives back how many packets it has.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write_pcap(workload: Workload, out: impl Write) -> io::Result<u64> {
    let mut pcap = Pcap { out, payload: Vec::new(), packet: Vec::new(), packets: 0 };
    // Nanoseconds, version 2.4, Ethernet.
    pcap.out.write_all(&[0xa1b2_3c4d, 0x0004_0002, 0, 0, 0x4_0000, 1_u32].map(u32::to_le_bytes).concat())?;
    let mut open: Vec<Connection> = Vec::new();
    for event in workload.events() {
        let event = event.as_event();
        let time = event.time.nanos();
        match event.body {
            Body::Connection(info) => {
                let known = open.iter().any(|connection| connection.key == info.key);
                if let Some(endpoint) = info.endpoint.filter(|_| !known) {
                    let next = [info.isn_remote, info.isn_local].map(Option::unwrap_or_default);
                    let mut connection = Connection { key: info.key, endpoint, next };
                    pcap.handshake(time, &mut connection)?;
                    open.push(connection);
                }
            }
            Body::Data(data) => {
                if let Some(connection) = open.iter_mut().find(|connection| connection.key == data.conn) {
                    pcap.data(time, connection, &data)?;
                }
            }
            Body::Close { conn } => open.retain(|connection| connection.key != conn),
            _ => {}
        }
    }
    pcap.out.flush()?;
    Ok(pcap.packets)
}

struct Pcap<W> {
    out: W,
    /// What a call moved.
    payload: Vec<u8>,
    packet: Vec<u8>,
    packets: u64,
}

impl<W: Write> Pcap<W> {
    fn handshake(&mut self, time: u64, connection: &mut Connection) -> io::Result<()> {
        for (direction, flags) in [(Direction::In, SYN), (Direction::Out, SYN | ACK), (Direction::In, ACK)] {
            self.segment(time, connection, direction, flags, &[])?;
            let next = &mut connection.next[direction as usize];
            *next = next.wrapping_add(u32::from(flags & SYN != 0));
        }
        Ok(())
    }

    fn data(&mut self, time: u64, connection: &mut Connection, data: &Data<'_>) -> io::Result<()> {
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        payload.resize(usize::try_from(data.len).unwrap_or(usize::MAX), 0);
        for (offset, bytes) in data.ranges.iter() {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            payload[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        for segment in payload.chunks(SEGMENT) {
            self.segment(time, connection, data.direction, ACK, segment)?;
            let next = &mut connection.next[data.direction as usize];
            *next = next.wrapping_add(u32::try_from(segment.len()).unwrap_or(u32::MAX));
        }
        self.payload = payload;
        Ok(())
    }

    fn segment(
        &mut self,
        time: u64,
        connection: &Connection,
        direction: Direction,
        flags: u8,
        payload: &[u8],
    ) -> io::Result<()> {
        let Endpoint { local, remote } = connection.endpoint;
        let (own, other) = (connection.next[direction as usize], connection.next[1 - direction as usize]);
        let (from, to) = if direction == Direction::In { (remote, local) } else { (local, remote) };
        self.packet.clear();
        self.packet.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
        let total = u16::try_from(HEADERS - 14 + payload.len()).unwrap_or(u16::MAX);
        self.packet.extend([0x45, 0]);
        self.packet.extend(total.to_be_bytes());
        self.packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        self.packet.extend(ipv4(from).octets());
        self.packet.extend(ipv4(to).octets());
        self.packet.extend(from.port().to_be_bytes());
        self.packet.extend(to.port().to_be_bytes());
        self.packet.extend(own.to_be_bytes());
        self.packet.extend(if flags & ACK == 0 { 0 } else { other }.to_be_bytes());
        self.packet.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        self.packet.extend(payload);
        let [seconds, nanos, len] = [time / 1_000_000_000, time % 1_000_000_000, self.packet.len() as u64]
            .map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        self.out.write_all(&[seconds, nanos, len, len].map(u32::to_le_bytes).concat())?;
        self.packets += 1;
        self.out.write_all(&self.packet)
    }
}

/// The workload has no other addresses.
fn ipv4(address: SocketAddr) -> Ipv4Addr {
    match address.ip() {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(ip) => ip.to_ipv4().unwrap_or(Ipv4Addr::UNSPECIFIED),
    }
}
