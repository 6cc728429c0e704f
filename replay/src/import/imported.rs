//! A capture file as a tape: its bytes are made while they are read.

use std::io::{self, BufReader, Cursor, Read};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::read::MultiGzDecoder;
use pcap_file::PcapError;
use redtape_core::Origin;
use redtape_core::tape::{Meta, WriterOptions};
use twox_hash::XxHash3_128;

use super::found::{Cut, Found};
use super::limits::ORIGIN_BYTES;
use super::options::ImportOptions;
use super::pcap::PacketSource;
use super::scap::ScapSource;
use super::transcript::{TapeBytes, Transcript};

/// Bytes, wherever they come from.
pub type Bytes = Box<dyn Read + Send>;

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A classic packet capture.
    Pcap,
    /// A packet capture of the next generation.
    Pcapng,
    /// A capture of system calls by sysdig or Falco.
    Scap,
}

impl Form {
    /// What a file is that begins with these bytes; `None` if it is no capture.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes.first_chunk()? {
            [0xa1, 0xb2, 0xc3, 0xd4]
            | [0xd4, 0xc3, 0xb2, 0xa1]
            | [0xa1, 0xb2, 0x3c, 0x4d]
            | [0x4d, 0x3c, 0xb2, 0xa1] => Some(Self::Pcap),
            // Both begin with a section; what else they consist of has numbers of its own.
            [0x0a, 0x0d, 0x0d, 0x0a] => {
                let number = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
                let after = number(4).and_then(|len| number(usize::try_from(len).ok()?));
                Some(if after.is_some_and(|kind| (0x201..0x300).contains(&kind)) { Self::Scap } else { Self::Pcapng })
            }
            _ => None,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcap => "pcap",
            Self::Pcapng => "pcapng",
            Self::Scap => "scap",
        }
    }

    /// What it consists of.
    pub const fn records(self) -> &'static str {
        match self {
            Self::Pcap | Self::Pcapng => "packet",
            Self::Scap => "event",
        }
    }
}

/// What was opened.
pub enum Opened {
    /// No capture: the bytes as they were, decompressed.
    Other(Bytes),
    /// A capture, as a tape.
    Capture(Box<Imported>),
}

/// Looks at what `bytes` are, through gzip and zstd.
///
/// # Errors
/// What the input reports.
pub fn open(bytes: Bytes, options: ImportOptions, tape: WriterOptions) -> io::Result<Opened> {
    let (start, bytes) = peek(bytes, 4)?;
    let bytes: Bytes = match start[..] {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(BufReader::with_capacity(64 << 10, bytes))),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::new(bytes)?),
        _ => bytes,
    };
    let (start, bytes) = peek(bytes, 4).map_err(|error| match start[..] {
        [0x1f, 0x8b, ..] | [0x28, 0xb5, ..] => {
            io::Error::new(error.kind(), format!("it cannot be decompressed ({error})"))
        }
        _ => error,
    })?;
    if Form::of(&start).is_none() {
        return Ok(Opened::Other(bytes));
    }
    let (start, bytes) = peek(bytes, ORIGIN_BYTES)?;
    match Form::of(&start) {
        None => Ok(Opened::Other(bytes)),
        Some(form) => {
            Imported::new(form, &start, bytes, options, tape).map(|imported| Opened::Capture(Box::new(imported)))
        }
    }
}

/// The first `len` bytes, fewer only if there are no more; and all of them again.
fn peek(mut bytes: Bytes, len: usize) -> io::Result<(Vec<u8>, Bytes)> {
    let mut start = Vec::with_capacity(len.min(64 << 10));
    match bytes.by_ref().take(len as u64).read_to_end(&mut start) {
        Ok(_) => {}
        // What cannot be decompressed on is met again behind what could.
        Err(error) if start.is_empty() => return Err(error),
        Err(error) => {
            let rest = Failing(Some(error));
            return Ok((start.clone(), Box::new(Cursor::new(start).chain(rest))));
        }
    }
    Ok((start.clone(), Box::new(Cursor::new(start).chain(bytes))))
}

/// An input that fails.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// What the events come from.
enum Source {
    Packets(Box<PacketSource<Bytes>>),
    Calls(Box<ScapSource<Bytes>>),
}

/// A capture as a tape, to be read. Where the capture is cut, the tape lacks its end.
pub struct Imported {
    form: Form,
    source: Source,
    /// `None` when all is written.
    transcript: Option<Transcript>,
    blocks: TapeBytes,
    /// The bytes that are being read, and how many of them were.
    ready: Vec<u8>,
    at: usize,
    found: FoundSoFar,
}

/// What an import has counted, for whoever else wants to know.
#[derive(Clone, Debug, Default)]
pub struct FoundSoFar(Arc<Mutex<Found>>);

impl FoundSoFar {
    /// What it has counted by now. Complete when the last byte was read.
    pub fn get(&self) -> Found {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Imported {
    fn new(form: Form, start: &[u8], bytes: Bytes, options: ImportOptions, tape: WriterOptions) -> io::Result<Self> {
        let invalid = |error| match error {
            PcapError::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => error,
            _ => io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the header of the {} file is cut off or damaged", form.name()),
            ),
        };
        let source = match form {
            Form::Pcap => Source::Packets(Box::new(PacketSource::pcap(bytes, options).map_err(invalid)?)),
            Form::Pcapng => {
                let header = section_header_len(start);
                Source::Packets(Box::new(PacketSource::pcapng(bytes, header, options).map_err(invalid)?))
            }
            Form::Scap => Source::Calls(Box::new(ScapSource::new(bytes, &options))),
        };
        let blocks = TapeBytes::default();
        let transcript = Transcript::new(meta(form, start), blocks.clone(), tape);
        Ok(Self {
            form,
            source,
            transcript: Some(transcript),
            blocks,
            ready: Vec::new(),
            at: 0,
            found: FoundSoFar::default(),
        })
    }

    /// What the file is.
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Whether all of the capture was read.
    pub const fn is_complete(&self) -> bool {
        self.transcript.is_none()
    }

    /// What is counted while the tape is read.
    pub fn found(&self) -> FoundSoFar {
        self.found.clone()
    }

    /// Makes some more of the tape. `false` if there is no more.
    fn step(&mut self) -> io::Result<bool> {
        let Some(mut transcript) = self.transcript.take() else { return Ok(false) };
        let mut found = self.found.0.lock().unwrap_or_else(PoisonError::into_inner);
        let step = match &mut self.source {
            Source::Packets(source) => source.step(&mut transcript, &mut found),
            Source::Calls(source) => source.step(&mut transcript, &mut found),
        };
        let more = match step {
            Ok(more) => more,
            Err(error) if is_of_content(&error) => {
                found.cut = Some(Cut::Damaged(format!("it cannot be decompressed on ({error})")));
                false
            }
            Err(error) => return Err(error),
        };
        if more {
            self.transcript = Some(transcript);
        } else {
            transcript.finish(found.cut.is_none() && !found.is_without_end)?;
        }
        Ok(true)
    }
}

/// The length of the section's header that a pcapng file begins with.
fn section_header_len(start: &[u8]) -> u64 {
    let big = start.get(8..12) == Some(&[0x1a, 0x2b, 0x3c, 0x4d]);
    let len = start.get(4..8).and_then(|len| len.first_chunk().copied()).unwrap_or_default();
    u64::from(if big { u32::from_be_bytes(len) } else { u32::from_le_bytes(len) })
}

/// Whether bytes are wrong that were read, and not the reading of them.
fn is_of_content(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | Other | UnexpectedEof)
}

impl Read for Imported {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.ready.len() {
            (self.at, _) = (0, self.blocks.take(&mut self.ready));
            if self.ready.is_empty() && !self.step()? {
                return Ok(0);
            }
        }
        let rest = self.ready.get(self.at..).unwrap_or_default();
        let count = rest.len().min(out.len());
        if let (Some(out), Some(rest)) = (out.get_mut(..count), rest.get(..count)) {
            out.copy_from_slice(rest);
        }
        self.at += count;
        Ok(count)
    }
}

/// META of the tape. All of it comes from the capture's first bytes, so that the same capture always has the same ids.
fn meta(form: Form, start: &[u8]) -> Meta {
    let [origin, tape] = [0, 1].map(|seed| uuid(XxHash3_128::oneshot_with_seed(seed, start).to_be_bytes()));
    Meta {
        tape,
        origin: Origin(origin),
        tool: format!("redtape import {}, from {}", env!("CARGO_PKG_VERSION"), form.name()),
        extra: vec![("import.format".into(), form.name().into())],
        ..Meta::default()
    }
}

/// A UUID of version 8, custom (RFC 9562, section 5.8), made of a hash.
fn uuid(mut bytes: [u8; 16]) -> [u8; 16] {
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}
