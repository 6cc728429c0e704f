//! The pcapng file: blocks in their order, by way of pcap-file.

use std::borrow::Cow;
use std::io::{self, Write};

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::blocks::interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::blocks::unknown::UnknownBlock;
use pcap_file::{DataLink, Endianness, PcapError};

use super::frame::Frame;
use super::local::{OPTION, Place, TAPE_BLOCK};

/// Writes a file of packets. Packets are kept back until the piece of the tape that tells of them is there.
pub(super) struct File<W: Write> {
    writer: PcapNgWriter<W>,
    interfaces: Vec<Interface>,
    frame: Vec<u8>,
    waiting: Vec<Packet>,
    waiting_bytes: usize,
}

struct Interface {
    name: String,
    packets: u64,
}

struct Packet {
    interface: u32,
    time: u64,
    bytes: Vec<u8>,
    len: u32,
    comment: String,
    place: Option<Place>,
}

impl<W: Write> File<W> {
    /// Begins a file. `system` is what is known of where the tape was recorded.
    pub(super) fn new(out: W, system: &str) -> io::Result<Self> {
        let text = |text: &str| Cow::Owned(text.to_owned());
        let mut options =
            vec![SectionHeaderOption::UserApplication(text(concat!("redtape ", env!("CARGO_PKG_VERSION"))))];
        if !system.is_empty() {
            options.push(SectionHeaderOption::OS(text(system)));
        }
        let section = SectionHeaderBlock { endianness: Endianness::Little, options, ..Default::default() };
        let writer = PcapNgWriter::with_section_header(out, section).map_err(io_error)?;
        Ok(Self { writer, interfaces: Vec::new(), frame: Vec::new(), waiting: Vec::new(), waiting_bytes: 0 })
    }

    /// The number of the interface of this name.
    pub(super) fn interface(&mut self, name: &str) -> io::Result<u32> {
        if let Some(at) = self.interfaces.iter().position(|known| known.name == name) {
            return Ok(u32::try_from(at).unwrap_or(u32::MAX));
        }
        let mut block = InterfaceDescriptionBlock::new(DataLink::ETHERNET, 0);
        block.options = vec![
            InterfaceDescriptionOption::IfName(name.to_owned().into()),
            // Nanoseconds.
            InterfaceDescriptionOption::IfTsResol(9),
        ];
        self.writer.write_pcapng_block(block).map_err(io_error)?;
        self.interfaces.push(Interface { name: name.to_owned(), packets: 0 });
        Ok(u32::try_from(self.interfaces.len() - 1).unwrap_or(u32::MAX))
    }

    /// Takes a packet.
    pub(super) fn packet(
        &mut self,
        interface: u32,
        time: u64,
        frame: &Frame<'_>,
        comment: String,
        place: Option<Place>,
    ) {
        self.frame.clear();
        let len = frame.put(&mut self.frame);
        self.waiting_bytes += self.frame.len() + comment.len();
        let bytes = self.frame.clone();
        self.waiting.push(Packet { interface, time, bytes, len, comment, place });
    }

    /// Bytes that wait.
    pub(super) const fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Writes a piece of the tape, and then the packets that it tells of.
    pub(super) fn tape(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !bytes.is_empty() {
            let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            let value = [&len.to_le_bytes(), bytes].concat();
            self.writer.write_pcapng_block(UnknownBlock::new(TAPE_BLOCK, 0, &value)).map_err(io_error)?;
        }
        self.waiting_bytes = 0;
        for Packet { interface, time, bytes, len, comment, place } in std::mem::take(&mut self.waiting) {
            self.frame.clear();
            let head = [interface, high(time), low(time), u32::try_from(bytes.len()).unwrap_or(u32::MAX), len];
            head.iter().for_each(|word| self.frame.extend_from_slice(&word.to_le_bytes()));
            padded(&bytes, &mut self.frame);
            put_option(COMMENT, comment.as_bytes(), &mut self.frame);
            if let Some(place) = place {
                put_option(OPTION, &place.to_bytes(), &mut self.frame);
            }
            put_option(END_OF_OPTIONS, &[], &mut self.frame);
            self.writer.write_pcapng_block(UnknownBlock::new(ENHANCED_PACKET, 0, &self.frame)).map_err(io_error)?;
            if let Some(known) = usize::try_from(interface).ok().and_then(|at| self.interfaces.get_mut(at)) {
                known.packets += 1;
            }
        }
        Ok(())
    }

    /// Ends the file: what each interface had, and a remark. Gives the output back.
    pub(super) fn finish(mut self, time: u64, lost: u64, remark: &str) -> io::Result<W> {
        // pcap-file writes it as one number, where the format has its upper half first.
        let timestamp = time.rotate_left(32);
        for (at, interface) in self.interfaces.iter().enumerate() {
            let mut options = vec![InterfaceStatisticsOption::IsbIfRecv(interface.packets)];
            if at == 0 {
                options.push(InterfaceStatisticsOption::IsbIfDrop(lost));
                if !remark.is_empty() {
                    options.push(InterfaceStatisticsOption::Comment(remark.to_owned().into()));
                }
            }
            let interface_id = u32::try_from(at).unwrap_or(u32::MAX);
            let block = InterfaceStatisticsBlock { interface_id, timestamp, options };
            self.writer.write_pcapng_block(block).map_err(io_error)?;
        }
        Ok(self.writer.into_inner())
    }
}

/// The number of a packet's block. pcap-file has no way to give one an option of ours, so the block's body is made here.
const ENHANCED_PACKET: u32 = 6;

/// Numbers of options.
const END_OF_OPTIONS: u16 = 0;
const COMMENT: u16 = 1;

fn put_option(number: u16, value: &[u8], out: &mut Vec<u8>) {
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    if value.is_empty() && number != END_OF_OPTIONS {
        return;
    }
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    padded(value, out);
}

/// Appends bytes, and as many zeros as make them a multiple of four.
fn padded(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes);
    out.resize(out.len() + (bytes.len().next_multiple_of(4) - bytes.len()), 0);
}

/// The halves of a timestamp.
fn high(time: u64) -> u32 {
    u32::try_from(time >> 32).unwrap_or_default()
}

fn low(time: u64) -> u32 {
    u32::try_from(time & u64::from(u32::MAX)).unwrap_or_default()
}

fn io_error(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        error => io::Error::other(error),
    }
}
