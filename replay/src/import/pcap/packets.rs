//! Packets from pcap and pcapng files, with their clocks.
//!
//! A thin layer over pcap-file 2.0.0. That reads the timestamps of pcapng files as nanoseconds, whatever resolution and
//! offset the interface has, and refuses packets of pcap files that a snap length has cut; so neither is left to it.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read};

use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::PcapNgReader;
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::{Endianness, PcapError, TsResolution};

use crate::import::found::Cut;
use crate::import::limits::INTERFACES;
use crate::pcapng::{OPTION, Place, TAPE_BLOCK};

/// A packet as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Captured<'a> {
    /// Nanoseconds since the Unix epoch; `None` for blocks that have no time.
    pub(super) time: Option<u64>,
    pub(super) link_type: u32,
    pub(super) bytes: &'a [u8],
    /// Its true length.
    pub(super) len: usize,
    /// Where its payload belongs on the tape that it was exported from.
    pub(super) place: Option<Place>,
}

/// What comes next in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    Packet(Captured<'a>),
    /// Some more bytes of the tape that the packets were exported from.
    Tape(&'a [u8]),
    /// Something else than a packet.
    Other,
    /// It is not what its kind says.
    Malformed,
    /// Nothing can be read any more, for this reason.
    Cut(Cut),
    End,
}

/// A file of packets.
pub(super) struct Packets<R: Read> {
    file: File<R>,
    /// How far it was read, in bytes.
    offset: u64,
}

enum File<R: Read> {
    Pcap(PcapReader<R>),
    Pcapng(PcapNgReader<R>, Vec<Interface>),
}

/// What a section of a pcapng file says of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    link_type: u32,
    /// Of its clock, a second.
    ticks: u128,
    /// What its clock lacks to the Unix epoch, in seconds.
    offset: i64,
    /// The most bytes of a packet that were captured, 0 for all.
    snap_len: usize,
}

/// Numbers of pcapng's blocks.
mod block {
    pub(super) const PACKET: u32 = 2;
    pub(super) const SIMPLE: u32 = 3;
    pub(super) const ENHANCED: u32 = 6;
}

impl<R: Read> Packets<R> {
    /// Opens a file that begins like a pcap file.
    pub(super) fn pcap(read: R) -> Result<Self, PcapError> {
        const HEADER: u64 = 24;
        Ok(Self { file: File::Pcap(PcapReader::new(read)?), offset: HEADER })
    }

    /// Opens a file that begins like a pcapng file, with a section's header of so many bytes.
    pub(super) fn pcapng(read: R, header: u64) -> Result<Self, PcapError> {
        Ok(Self { file: File::Pcapng(PcapNgReader::new(read)?, Vec::new()), offset: header })
    }

    /// How far it was read, in bytes.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// What comes next.
    ///
    /// # Errors
    /// What the input reports.
    pub(super) fn next(&mut self) -> io::Result<Next<'_>> {
        let Self { file, offset } = self;
        match file {
            File::Pcap(reader) => next_of_pcap(reader, offset),
            File::Pcapng(reader, interfaces) => next_of_pcapng(reader, interfaces, offset),
        }
    }
}

fn next_of_pcap<'a, R: Read>(reader: &'a mut PcapReader<R>, offset: &mut u64) -> io::Result<Next<'a>> {
    const HEADER: u64 = 16;
    let header = reader.header();
    let unit = if header.ts_resolution == TsResolution::NanoSecond { 1 } else { 1000 };
    // The upper bits say how long the check sequences of frames are.
    let link_type = u32::from(header.datalink) & 0xffff;
    match reader.next_raw_packet() {
        None => Ok(Next::End),
        Some(Err(error)) => cut(error),
        Some(Ok(packet)) => {
            *offset += HEADER + packet.data.len() as u64;
            let Cow::Borrowed(bytes) = packet.data else { return Ok(Next::Malformed) };
            Ok(Next::Packet(Captured {
                time: Some(u64::from(packet.ts_sec) * 1_000_000_000 + u64::from(packet.ts_frac) * unit),
                link_type,
                len: length(packet.orig_len).max(bytes.len()),
                bytes,
                place: None,
            }))
        }
    }
}

fn next_of_pcapng<'a, R: Read>(
    reader: &'a mut PcapNgReader<R>,
    interfaces: &mut Vec<Interface>,
    offset: &mut u64,
) -> io::Result<Next<'a>> {
    // One block is read at a time, and a new section has no interfaces: where the number is the same, nothing is new.
    if interfaces.len() != reader.interfaces().len() {
        interfaces.truncate(reader.interfaces().len());
        interfaces.extend(reader.interfaces().iter().skip(interfaces.len()).map(interface));
    }
    if interfaces.len() > INTERFACES {
        return Ok(Next::Cut(Cut::Damaged(format!("it has more than {INTERFACES} interfaces"))));
    }
    let big = reader.section().endianness == Endianness::Big;
    let raw = match reader.next_raw_block() {
        None => return Ok(Next::End),
        Some(Err(error)) => return cut(error),
        Some(Ok(raw)) => raw,
    };
    *offset += u64::from(raw.initial_len);
    let (kind, body) = (raw.type_, raw.body);
    Ok(match (kind, body) {
        (block::PACKET | block::SIMPLE | block::ENHANCED, Cow::Borrowed(body)) => {
            packet(kind, body, big, interfaces).map_or(Next::Malformed, Next::Packet)
        }
        (TAPE_BLOCK, Cow::Borrowed(body)) => {
            let len = body.first_chunk().map(|len| length(u32::from_le_bytes(*len)));
            len.and_then(|len| body.get(4..)?.get(..len)).map_or(Next::Malformed, Next::Tape)
        }
        _ => Next::Other,
    })
}

/// The option of ours among those of a packet.
fn place(mut options: &[u8], big: bool) -> Option<Place> {
    let number = |bytes: [u8; 2]| if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
    while let Some((&[a, b, c, d], rest)) = options.split_first_chunk() {
        let (code, len) = (number([a, b]), usize::from(number([c, d])));
        if code == OPTION {
            return Place::parse(rest.get(..len)?);
        }
        options = rest.get(len.next_multiple_of(4)..)?;
    }
    None
}

/// The packet of a block.
fn packet<'a>(kind: u32, body: &'a [u8], big: bool, interfaces: &[Interface]) -> Option<Captured<'a>> {
    let number = |at: usize| {
        let bytes = *body.get(at..)?.first_chunk()?;
        Some(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    if kind == block::SIMPLE {
        let interface = interfaces.first()?;
        let (len, rest) = (length(number(0)?), body.get(4..)?);
        let most = if interface.snap_len == 0 { len } else { len.min(interface.snap_len) };
        let bytes = rest.get(..most)?;
        return Some(Captured { time: None, link_type: interface.link_type, bytes, len, place: None });
    }
    let id = if kind == block::ENHANCED {
        length(number(0)?)
    } else {
        let bytes = *body.first_chunk()?;
        usize::from(if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let interface = interfaces.get(id)?;
    let ticks = u64::from(number(4)?) << 32 | u64::from(number(8)?);
    let (captured, len) = (length(number(12)?), length(number(16)?));
    let bytes = body.get(20..)?.get(..captured)?;
    Some(Captured {
        time: Some(interface.unix_nanos(ticks)),
        link_type: interface.link_type,
        bytes,
        len: len.max(captured),
        place: place(body.get(20 + captured.next_multiple_of(4)..).unwrap_or_default(), big),
    })
}

fn interface(block: &InterfaceDescriptionBlock<'_>) -> Interface {
    let (mut ticks, mut offset) = (1_000_000, 0);
    for option in &block.options {
        match option {
            InterfaceDescriptionOption::IfTsResol(resolution) => ticks = ticks_of(*resolution),
            InterfaceDescriptionOption::IfTsOffset(seconds) => offset = seconds.cast_signed(),
            _ => {}
        }
    }
    Interface { link_type: block.linktype.into(), ticks, offset, snap_len: length(block.snaplen) }
}

/// Ticks a second of a clock whose `if_tsresol` this is: a negative power of 10 or, with the highest bit, of 2.
fn ticks_of(resolution: u8) -> u128 {
    let exponent = u32::from(resolution & 0x7f);
    let ticks = if resolution & 0x80 == 0 { 10_u128.checked_pow(exponent) } else { 1_u128.checked_shl(exponent) };
    ticks.unwrap_or(u128::MAX)
}

impl Interface {
    /// Nanoseconds since the Unix epoch, within what 64 bits can tell.
    fn unix_nanos(&self, ticks: u64) -> u64 {
        let nanos = match self.ticks {
            1_000_000_000 => i128::from(ticks),
            1_000_000 => i128::from(ticks) * 1000,
            ticks_a_second => i128::try_from(u128::from(ticks) * 1_000_000_000 / ticks_a_second).unwrap_or(i128::MAX),
        };
        let nanos = nanos.saturating_add(i128::from(self.offset) * 1_000_000_000);
        u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
    }
}

fn length(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Why a file cannot be read on: it ends too early, or what is there is no block. Failures of the input are errors.
fn cut<'a>(error: PcapError) -> io::Result<Next<'a>> {
    match error {
        PcapError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Next::Cut(Cut::Truncated)),
        PcapError::IoError(error) => Err(error),
        error => Ok(Next::Cut(Cut::Damaged(format!("what follows is no packet ({error})")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_of_all_resolutions() {
        for (resolution, offset, ticks, nanos) in [
            (6, 0, 1_700_000_000_123_456, 1_700_000_000_123_456_000),
            (9, 0, 1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
            (0, 0, 1_700_000_000, 1_700_000_000_000_000_000),
            (3, 1_700_000_000, 250, 1_700_000_000_250_000_000),
            (9, -1, 1_500_000_000, 500_000_000),
            (12, 0, 5_000, 5),
            (0x80 | 10, 0, 1024 + 512, 1_500_000_000),
            (0x80, 2, 7, 9_000_000_000),
            (0x7f, 0, u64::MAX, 0),
            (0xff, 0, u64::MAX, 0),
            (0, 0, u64::MAX, u64::MAX),
            (9, i64::MIN, 5, 0),
        ] {
            let interface = Interface { link_type: 1, ticks: ticks_of(resolution), offset, snap_len: 0 };
            assert_eq!(interface.unix_nanos(ticks), nanos, "{resolution} {offset} {ticks}");
        }
    }
}
