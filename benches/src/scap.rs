//! The workload in sysdig's capture format, so that sysdig can be given the same transactions.
//!
//! Blocks are framed as in pcapng; their bodies are those of libscap's version 1.0 event blocks. A transaction is four
//! events here, too: enter and exit of the read of its request, and of the write of its response's head.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use redtape_core::synth::Workload;
use redtape_core::{Body, ConnInfo, ConnKey, Data, Direction, Event};

/// The one thread that sysdig is told of.
const TID: u64 = 1000;

mod block {
    pub(super) const SECTION: u32 = 0x0a0d_0d0a;
    pub(super) const MACHINE_INFO: u32 = 0x201;
    pub(super) const EVENT: u32 = 0x204;
    pub(super) const INTERFACES: u32 = 0x205;
    pub(super) const USERS: u32 = 0x206;
    pub(super) const PROCESSES: u32 = 0x215;
}

/// Event types of libscap (`ppm_event_code_type`): enter is even, exit is one more.
mod event_type {
    pub(super) const CLOSE: u16 = 4;
    pub(super) const READ: u16 = 6;
    pub(super) const WRITE: u16 = 8;
    pub(super) const ACCEPT: u16 = 246;
}

/// Writes a workload as sysdig would have captured it.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write_scap(workload: Workload, out: impl Write) -> io::Result<()> {
    let mut scap = Scap { out, open: Vec::new() };
    scap.head()?;
    for event in workload.events() {
        scap.event(&event.as_event())?;
    }
    scap.out.flush()
}

struct Scap<W> {
    out: W,
    /// Connections by descriptor, from 3 on.
    open: Vec<Option<ConnKey>>,
}

impl<W: Write> Scap<W> {
    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        let time = event.time.nanos();
        match event.body {
            Body::Connection(info) => self.accept(time, info),
            Body::Data(data) => self.data(time, &data),
            Body::Close { conn } => self.close(time, conn),
            _ => Ok(()),
        }
    }

    fn accept(&mut self, time: u64, info: &ConnInfo) -> io::Result<()> {
        let Some(endpoint) = info.endpoint.filter(|_| !self.open.contains(&Some(info.key))) else { return Ok(()) };
        let free = self.open.iter().position(Option::is_none).unwrap_or(self.open.len());
        self.open.resize(self.open.len().max(free + 1), None);
        self.open[free] = Some(info.key);
        let mut tuple = vec![2];
        put_address(&mut tuple, endpoint.remote);
        put_address(&mut tuple, endpoint.local);
        self.call(time - 500, event_type::ACCEPT, &[])?;
        let exit = [&descriptor(free)[..], &tuple, &[0], &0u32.to_le_bytes(), &128u32.to_le_bytes()];
        self.call(time, event_type::ACCEPT + 1, &exit)
    }

    fn data(&mut self, time: u64, data: &Data<'_>) -> io::Result<()> {
        let bytes = data.ranges.parts().0;
        let (kind, head) = match data.direction {
            Direction::In => (event_type::READ, true),
            Direction::Out => (event_type::WRITE, bytes.starts_with(b"HTTP/")),
        };
        let fd = self.open.iter().position(|open| *open == Some(data.conn));
        let Some(fd) = fd.filter(|_| head && !bytes.is_empty()) else { return Ok(()) };
        let size = if kind == event_type::READ { 65536 } else { u32::try_from(data.len).unwrap_or(u32::MAX) };
        self.call(time - 500, kind, &[&descriptor(fd), &size.to_le_bytes()])?;
        self.call(time, kind + 1, &[&data.len.to_le_bytes(), bytes])
    }

    fn close(&mut self, time: u64, conn: ConnKey) -> io::Result<()> {
        let Some(fd) = self.open.iter().position(|open| *open == Some(conn)) else { return Ok(()) };
        self.open[fd] = None;
        self.call(time, event_type::CLOSE, &[&descriptor(fd)])?;
        self.call(time + 400, event_type::CLOSE + 1, &[&0u64.to_le_bytes()])
    }

    /// An event of the one thread, on CPU 0.
    fn call(&mut self, time: u64, kind: u16, parameters: &[&[u8]]) -> io::Result<()> {
        let len = 22 + parameters.iter().map(|parameter| 2 + parameter.len()).sum::<usize>();
        let mut body = vec![0, 0];
        body.extend(time.to_le_bytes());
        body.extend(TID.to_le_bytes());
        body.extend(u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        body.extend(kind.to_le_bytes());
        parameters.iter().for_each(|parameter| body.extend(length(parameter)));
        parameters.iter().for_each(|parameter| body.extend(*parameter));
        self.block(block::EVENT, &body)
    }

    /// What every capture begins with: section, machine, interfaces, users, and the one process.
    fn head(&mut self) -> io::Result<()> {
        let mut section = vec![0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0];
        section.extend([0xff; 8]);
        self.block(block::SECTION, &section)?;
        let mut machine = vec![2, 0, 0, 0];
        machine.extend((24u64 << 30).to_le_bytes());
        machine.extend(32_768u64.to_le_bytes());
        machine.resize(180, 0);
        self.block(block::MACHINE_INFO, &machine)?;
        self.block(block::INTERFACES, &[])?;
        self.block(block::USERS, &[])?;
        let mut process = Vec::new();
        [TID, TID, 1, TID, TID].iter().for_each(|id| process.extend(id.to_le_bytes()));
        for text in ["server", "server", "/usr/bin/server", "", "/"] {
            process.extend(length(text.as_bytes()));
            process.extend(text.as_bytes());
        }
        process.extend(1024u64.to_le_bytes());
        process.extend([0; 42]);
        [TID, TID].iter().for_each(|id| process.extend(id.to_le_bytes()));
        process.extend([0, 0, 1, 0, b'/']);
        let mut list = u32::try_from(process.len() + 4).unwrap_or(u32::MAX).to_le_bytes().to_vec();
        list.extend(process);
        self.block(block::PROCESSES, &list)
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let padding = body.len().next_multiple_of(4) - body.len();
        let len = u32::try_from(12 + body.len() + padding).unwrap_or(u32::MAX).to_le_bytes();
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&len)?;
        self.out.write_all(body)?;
        self.out.write_all(&[0; 3][..padding])?;
        self.out.write_all(&len)
    }
}

fn descriptor(at: usize) -> [u8; 8] {
    (at as u64 + 3).to_le_bytes()
}

fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes()
}

fn put_address(out: &mut Vec<u8>, address: SocketAddr) {
    if let IpAddr::V4(ip) = address.ip().to_canonical() {
        out.extend(ip.octets());
        out.extend(address.port().to_le_bytes());
    }
}
