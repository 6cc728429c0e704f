//! The redactor: a process without privileges that reads a tape and writes it redacted.

use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::rc::Rc;

use redtape_core::edit::{Key, RedactPolicy, Redactor};
use redtape_core::tape::{
    Block, BlockKind, CloseReason, Meta, Reader, RotatingWriter, Rotation, Totals, Writer, WriterOptions,
};
use redtape_core::{Event, MonoNanos};

use super::channel::{Message, Setup, receive_file};
use super::confine::confine;

/// The hidden subcommand of the process that starts the redactor and ends, so that the redactor is no child of the recorder, which waits for all
/// its children where it runs a command.
pub(super) const START: &str = "start-redactor";
const REDACT: &str = "redact";

/// Starts the redactor, with this process's standard input and output.
///
/// # Errors
/// It cannot be started.
pub(crate) fn start() -> io::Result<()> {
    // Not waited for: it outlives this process.
    Command::new(env::current_exe()?).arg(REDACT).spawn().map(drop)
}

/// What the redactor does: standard input has the tape, standard output is the socket to the recorder.
///
/// # Errors
/// The tape cannot be read or written; what was written is redacted.
pub(crate) fn redact() -> io::Result<()> {
    let socket = Rc::new(UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?));
    let setup = Setup::receive(&socket)?;
    for missing in confine()? {
        eprintln!("redtape-capture: warning: this kernel has not {missing}: what redacts is confined by the rest");
    }
    let policy = RedactPolicy::from_yaml(&setup.policy, "the policy").map_err(io::Error::other)?;
    let key = setup.key.as_deref().map(Key::new).transpose().map_err(io::Error::other)?;
    let mut redactor = Redactor::new(&policy, key).map_err(io::Error::other)?;
    let mut tape = Reader::open(io::stdin()).map_err(io::Error::other)?;
    let meta = redactor.meta(tape.meta());
    let mut out = Out::create(&setup, meta, &socket)?;
    copy(&mut redactor, &mut tape, &mut out)?;
    // A recorder that was killed has not closed the tape, and neither is this one.
    let Some(totals) = tape.report().totals else { return Ok(()) };
    let bytes = out.finish(totals.reason)?;
    Message::Done(bytes).send(&socket)
}

fn copy(redactor: &mut Redactor, tape: &mut Reader<io::Stdin>, out: &mut Out) -> io::Result<()> {
    let (mut block, mut snapshot, mut last) = (Block::default(), None, MonoNanos::ZERO);
    while tape.read_block(&mut block).map_err(io::Error::other)? {
        if block.kind() != BlockKind::Snapshot
            && let Some(time) = snapshot.take()
        {
            out.writer()?.snapshot(time, [])?;
        }
        if block.kind() == BlockKind::Snapshot {
            snapshot = Some(block.first_time());
        }
        for event in block.events() {
            last = last.max(event.time);
            redactor.push(&event);
            while let Some(redacted) = redactor.poll() {
                out.push(&redacted.event.as_event())?;
            }
        }
        out.writer()?.flush_due(last)?;
    }
    redactor.finish();
    while let Some(redacted) = redactor.poll() {
        out.push(&redacted.event.as_event())?;
    }
    out.writer()?.note(last, &format!("redacted: {}", redactor.counts()))
}

/// One file, or one after the other.
enum Out {
    One(Box<Writer<Counted>>),
    Set(Box<RotatingWriter<Counted, OpenNext>>),
}

type OpenNext = Box<dyn FnMut(u32, Option<(Totals, Counted)>) -> io::Result<Counted>>;

/// A file, and how many bytes were written to it and those before it.
struct Counted {
    file: File,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Out {
    fn create(setup: &Setup, meta: Meta, socket: &Rc<UnixStream>) -> io::Result<Self> {
        let socket = Rc::clone(socket);
        let open = move |number, before: Option<(Totals, Counted)>| {
            let bytes = before.map_or(0, |(_, counted)| counted.bytes);
            Message::Open(number).send(&socket)?;
            Ok(Counted { file: receive_file(&socket)?.into(), bytes })
        };
        let options = if setup.pipe { WriterOptions::PIPE } else { WriterOptions::FILE };
        let Some((bytes, nanos)) = setup.rotation else {
            return Ok(Self::One(Box::new(Writer::new(open(0, None)?, &meta, options)?)));
        };
        let rotation = Rotation { bytes, nanos };
        let writer = RotatingWriter::new(meta, options, rotation, Box::new(open) as OpenNext)?;
        Ok(Self::Set(Box::new(writer)))
    }

    fn push(&mut self, event: &Event<'_>) -> io::Result<()> {
        match self {
            Self::One(writer) => writer.push(event),
            Self::Set(writer) => writer.push(event),
        }
    }

    fn writer(&mut self) -> io::Result<&mut Writer<Counted>> {
        match self {
            Self::One(writer) => Ok(writer),
            Self::Set(writer) => writer.writer(),
        }
    }

    /// Completes the tape; returns how many bytes were written.
    fn finish(self, reason: CloseReason) -> io::Result<u64> {
        let (_, out) = match self {
            Self::One(writer) => writer.finish(reason)?,
            Self::Set(writer) => writer.finish(reason)?,
        };
        Ok(out.bytes)
    }
}
