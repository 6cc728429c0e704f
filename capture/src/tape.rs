//! The tape on disk or in a pipe: its names, the renaming when it is complete, its first block.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use redtape_core::tape::{CloseReason, Meta, RotatingWriter, Rotation, Totals, Writer, WriterOptions};
use redtape_core::{ConnInfo, Event, MonoNanos, Origin};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock::read_clocks;
use crate::host::{HostFacts, random_origin};
use crate::names::{files_of_set, numbered, part_of};
use crate::recording::{EndReason, EventSink};
use crate::redact::{self, Redacting};
use crate::settings::{Output, Settings};
use crate::stop::Stop;

/// How long a recording that is to end waits for a reader who takes nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a stalled write looks whether the recording is to end.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// What a pipe or socket that is ready takes without making the writer wait, in bytes: `PIPE_BUF` of pipe(7).
const AT_ONCE: usize = 4096;

/// A tape that is being written.
pub struct TapeSink {
    /// `None` when it is finished.
    files: Option<Files>,
    /// Bytes written to all files.
    written: Rc<Cell<u64>>,
    /// Whoever takes the secrets out, and writes the files.
    redacting: Option<Redacting>,
}

/// One file, or one after the other.
enum Files {
    One(Box<Writer<TapeOut>>),
    Set(Box<RotatingWriter<TapeOut, OpenNext>>),
}

/// Completes a file and opens the one with the next number.
type OpenNext = Box<dyn FnMut(u32, Option<(Totals, TapeOut)>) -> io::Result<TapeOut>>;

impl TapeSink {
    /// Begins the tape of a recording; `socket` is the connection to whoever reads it, if the output is one. A reader who
    /// stands still is waited for until `stop` is wanted.
    ///
    /// # Errors
    /// The output cannot be made.
    pub fn create(
        settings: &Settings,
        origin: Origin,
        arrival_hook: &str,
        socket: Option<&UnixStream>,
        stop: &Stop,
        redacting: Option<(Redacting, File)>,
    ) -> io::Result<Self> {
        let meta = meta(settings, origin, arrival_hook)
            .map_err(|error| io::Error::other(format!("cannot read /proc: {error}")))?;
        let written = Rc::new(Cell::new(0));
        let Some((mut redacting, pipe)) = redacting else {
            let files = Files::open(settings, meta, &written, socket, stop)?;
            return Ok(Self { files: Some(files), written, redacting: None });
        };
        redacting.serve(Redacted::new(settings, socket)?)?;
        let out = TapeOut::redactor(pipe, &written, stop);
        let files = Some(Files::One(Box::new(Writer::new(out, &meta, WriterOptions::PIPE)?)));
        Ok(Self { files, written, redacting: Some(redacting) })
    }

    fn files(&mut self) -> io::Result<&mut Files> {
        self.files.as_mut().ok_or_else(|| io::Error::other("the tape is closed"))
    }
}

impl Files {
    fn open(
        settings: &Settings,
        meta: Meta,
        written: &Rc<Cell<u64>>,
        socket: Option<&UnixStream>,
        stop: &Stop,
    ) -> io::Result<Self> {
        let Rotation { bytes, nanos } = settings.rotation;
        let one = |out, options| Ok(Self::One(Box::new(Writer::new(out, &meta, options)?)));
        let path = match &settings.output {
            Output::Stdout => return one(TapeOut::pipe(io::stdout(), written, stop)?, WriterOptions::PIPE),
            Output::Socket(_) => {
                let socket = socket.ok_or(io::ErrorKind::NotConnected)?;
                return one(TapeOut::pipe(socket, written, stop)?, WriterOptions::PIPE);
            }
            Output::File(path) if bytes.is_none() && nanos.is_none() => {
                return one(TapeOut::part(path, written)?, WriterOptions::FILE);
            }
            Output::File(path) => path.clone(),
        };
        if settings.force {
            // All of an older set, or what is left of it would be taken for a part of this one.
            for (_, file) in files_of_set(&path)? {
                remove_if_there(&file)?;
            }
        }
        let (ring, written) = (settings.ring, Rc::clone(written));
        let open = move |number: u32, before: Option<(Totals, TapeOut)>| {
            if let Some((_, complete)) = before {
                complete.complete()?;
            }
            if let Some(oldest) = ring.and_then(|ring| number.checked_sub(ring)) {
                remove_if_there(&numbered(&path, oldest))?;
            }
            TapeOut::part(&numbered(&path, number), &written)
        };
        RotatingWriter::new(meta, WriterOptions::FILE, settings.rotation, Box::new(open) as OpenNext)
            .map(|writer| Self::Set(Box::new(writer)))
    }

    fn writer(&mut self) -> io::Result<&mut Writer<TapeOut>> {
        match self {
            Self::One(writer) => Ok(writer),
            Self::Set(writer) => writer.writer(),
        }
    }
}

impl EventSink for TapeSink {
    fn push(&mut self, event: &Event<'_>) -> io::Result<()> {
        match self.files()? {
            Files::One(writer) => writer.push(event),
            Files::Set(writer) => writer.push(event),
        }
    }

    fn snapshot(&mut self, time: MonoNanos, connections: &[ConnInfo]) -> io::Result<()> {
        self.files()?.writer()?.snapshot(time, connections)
    }

    fn flush_due(&mut self, now: MonoNanos) -> io::Result<()> {
        self.files()?.writer()?.flush_due(now)
    }

    fn bytes(&self) -> u64 {
        self.written.get()
    }

    fn finish(&mut self, reason: EndReason) -> io::Result<()> {
        let reason = match reason {
            EndReason::Signal => CloseReason::Interrupted,
            EndReason::Failed => CloseReason::Error,
            EndReason::Duration | EndReason::CommandEnded | EndReason::TargetsEnded | EndReason::PipeClosed => {
                CloseReason::Done
            }
        };
        let finished = match self.files.take() {
            None => return Ok(()),
            Some(Files::One(writer)) => writer.finish(reason),
            Some(Files::Set(writer)) => writer.finish(reason),
        };
        let completed = finished.and_then(|(_, out)| out.complete());
        let Some(redacting) = &mut self.redacting else { return completed };
        // If it has ended too early, that is why nothing could be written to it.
        self.written.set(redacting.finish()?);
        completed
    }
}

/// Where what is redacted goes: what [`Files`] does for what is not.
struct Redacted {
    output: Output,
    rotates: bool,
    ring: Option<u32>,
    /// The socket of the reader, or standard output.
    pipe: Option<OwnedFd>,
    /// The file that is being written.
    current: Option<(PathBuf, PathBuf)>,
}

impl Redacted {
    fn new(settings: &Settings, socket: Option<&UnixStream>) -> io::Result<Self> {
        let rotates = settings.rotation != Rotation::default();
        let pipe = match &settings.output {
            Output::Stdout => Some(io::stdout().as_fd().try_clone_to_owned()?),
            Output::Socket(_) => Some(socket.ok_or(io::ErrorKind::NotConnected)?.as_fd().try_clone_to_owned()?),
            Output::File(path) => {
                if rotates && settings.force {
                    for (_, file) in files_of_set(path)? {
                        remove_if_there(&file)?;
                    }
                }
                None
            }
        };
        let (output, ring) = (settings.output.clone(), settings.ring);
        Ok(Self { output, rotates, ring, pipe, current: None })
    }
}

impl redact::Files for Redacted {
    fn open(&mut self, number: u32) -> io::Result<OwnedFd> {
        self.complete()?;
        if let Some(pipe) = self.pipe.take() {
            return Ok(pipe);
        }
        let Output::File(path) = &self.output else { return Err(io::ErrorKind::NotConnected.into()) };
        if let Some(oldest) = self.ring.and_then(|ring| number.checked_sub(ring)) {
            remove_if_there(&numbered(path, oldest))?;
        }
        let path = if self.rotates { numbered(path, number) } else { path.clone() };
        let (file, part) = create_part(&path)?;
        self.current = Some((part, path));
        Ok(file.into())
    }

    fn complete(&mut self) -> io::Result<()> {
        self.current.take().map_or(Ok(()), |(part, path)| fs::rename(part, path))
    }
}

fn meta(settings: &Settings, origin: Origin, arrival_hook: &str) -> io::Result<Meta> {
    let host = HostFacts::collect();
    let mut meta = Meta {
        tape: random_origin()?.0,
        origin,
        tool: concat!("redtape-capture ", env!("CARGO_PKG_VERSION")).to_owned(),
        host: host.host_name,
        kernel: host.kernel_release,
        arch: host.arch,
        cpus: host.cpus,
        boot_id: host.boot_id,
        command: host.command_line,
        arrival_hook: arrival_hook.to_owned(),
        payload_limits: format!("{} bytes of each message's beginning", settings.payload),
        started: read_clocks().wall,
        ..Meta::default()
    };
    settings.config_text.put_into(&mut meta);
    Ok(meta)
}

/// Where the bytes of a tape go.
#[derive(Debug)]
struct TapeOut {
    file: File,
    /// The name while it is written, and the name when it is complete; a pipe has none.
    names: Option<(PathBuf, PathBuf)>,
    written: Rc<Cell<u64>>,
    /// Whoever reads a pipe or socket.
    reader: Option<Awaited>,
}

/// A reader, who may stand still.
#[derive(Debug)]
struct Awaited {
    stop: Stop,
    /// He stood still when the recording was to end: nothing more is written.
    given_up: bool,
}

impl Awaited {
    /// Waits until `pipe` takes [`AT_ONCE`] bytes, or has nobody to read it, which writing tells.
    fn until_ready(&mut self, pipe: &File) -> io::Result<()> {
        let mut deadline = None;
        while !self.given_up {
            match poll(&mut [PollFd::new(pipe, PollFlags::OUT)], Some(&LOOK)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            if self.stop.wanted() {
                self.given_up = Instant::now() >= *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "its reader stands still; what was not written yet is lost"))
    }
}

impl TapeOut {
    fn pipe(pipe: impl AsFd, written: &Rc<Cell<u64>>, stop: &Stop) -> io::Result<Self> {
        // The descriptor itself: the standard library's handle buffers lines, which would hold blocks back.
        let descriptor: OwnedFd = pipe.as_fd().try_clone_to_owned()?;
        let file = File::from(descriptor);
        let reader = Some(Awaited { stop: stop.clone(), given_up: false });
        Ok(Self { file, names: None, written: Rc::clone(written), reader })
    }

    /// The pipe to whoever redacts.
    fn redactor(file: File, written: &Rc<Cell<u64>>, stop: &Stop) -> Self {
        let reader = Some(Awaited { stop: stop.clone(), given_up: false });
        Self { file, names: None, written: Rc::clone(written), reader }
    }

    /// A file that is called `PATH.part` until it is complete. Only its owner may read it: heads have cookies in them.
    fn part(path: &Path, written: &Rc<Cell<u64>>) -> io::Result<Self> {
        let (file, part) = create_part(path)?;
        Ok(Self { file, names: Some((part, path.to_owned())), written: Rc::clone(written), reader: None })
    }

    fn complete(self) -> io::Result<()> {
        self.names.map_or(Ok(()), |(part, path)| fs::rename(part, path))
    }
}

impl Write for TapeOut {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
        if let Some(reader) = &mut self.reader {
            reader.until_ready(&self.file)?;
            bytes = bytes.get(..AT_ONCE).unwrap_or(bytes);
        }
        let written = self.file.write(bytes)?;
        self.written.set(self.written.get() + written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes the file that a tape is written to, and says what it is called meanwhile.
fn create_part(path: &Path) -> io::Result<(File, PathBuf)> {
    let part = part_of(path);
    // Whether it may be overwritten was decided before. Made anew, it is no link to somewhere else.
    remove_if_there(&part)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    Ok((file, part))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
