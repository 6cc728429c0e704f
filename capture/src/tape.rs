//! The tape on disk or in a pipe: its names, the renaming when it is complete, its first block.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use redtape_core::tape::{CloseReason, Meta, Writer, WriterOptions};
use redtape_core::{ConnInfo, Event, MonoNanos, Origin};

use crate::clock::read_clocks;
use crate::exit::Failure;
use crate::host::{HostFacts, random_origin};
use crate::recording::{EndReason, EventSink};
use crate::settings::{Output, Settings};

/// A tape that is being written.
pub struct TapeSink {
    /// `None` when it is finished, or has failed.
    writer: Option<Writer<TapeOut>>,
    bytes: u64,
}

impl TapeSink {
    /// Begins the tape of a recording.
    ///
    /// # Errors
    /// The output cannot be made.
    pub fn create(settings: &Settings, origin: Origin, arrival_hook: &str) -> Result<Self, Failure> {
        let meta = meta(settings, origin, arrival_hook)
            .map_err(|error| Failure::environment(format!("cannot read /proc: {error}")))?;
        let (out, options) = match &settings.output {
            Output::Stdout => (TapeOut::pipe(), WriterOptions::PIPE),
            Output::File(path) => (TapeOut::part(path), WriterOptions::FILE),
        };
        let cannot_write = |error| Failure::environment(format!("cannot write {}: {error}", settings.output));
        let writer = Writer::new(out.map_err(cannot_write)?, &meta, options).map_err(cannot_write)?;
        Ok(Self { bytes: writer.bytes_written(), writer: Some(writer) })
    }

    fn writer(&mut self) -> io::Result<&mut Writer<TapeOut>> {
        self.writer.as_mut().ok_or_else(|| io::Error::other("the tape is closed"))
    }
}

impl EventSink for TapeSink {
    fn push(&mut self, event: &Event<'_>) -> io::Result<()> {
        self.writer()?.push(event)
    }

    fn snapshot(&mut self, time: MonoNanos, connections: &[ConnInfo]) -> io::Result<()> {
        self.writer()?.snapshot(time, connections)
    }

    fn flush_due(&mut self, now: MonoNanos) -> io::Result<()> {
        let writer = self.writer()?;
        writer.flush_due(now)?;
        self.bytes = writer.bytes_written();
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn finish(&mut self, reason: EndReason) -> io::Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let reason = match reason {
            EndReason::Signal => CloseReason::Interrupted,
            EndReason::Duration | EndReason::CommandEnded | EndReason::TargetsEnded | EndReason::PipeClosed => {
                CloseReason::Done
            }
        };
        let (_, out) = writer.finish(reason)?;
        self.bytes = out.written;
        out.complete()
    }
}

fn meta(settings: &Settings, origin: Origin, arrival_hook: &str) -> io::Result<Meta> {
    let host = HostFacts::collect();
    Ok(Meta {
        tape: random_origin()?.0,
        origin,
        tool: concat!("redtape-capture ", env!("CARGO_PKG_VERSION")).to_owned(),
        host: host.host_name,
        kernel: host.kernel_release,
        arch: host.arch,
        cpus: host.cpus,
        boot_id: host.boot_id,
        command: host.command_line,
        config: settings.config_text.clone(),
        arrival_hook: arrival_hook.to_owned(),
        payload_limits: format!("{} bytes of each message's beginning", settings.payload),
        started: read_clocks().wall,
        ..Meta::default()
    })
}

/// Where the bytes of a tape go.
#[derive(Debug)]
struct TapeOut {
    file: File,
    /// The name while it is written, and the name when it is complete; a pipe has none.
    names: Option<(PathBuf, PathBuf)>,
    written: u64,
}

impl TapeOut {
    fn pipe() -> io::Result<Self> {
        // The descriptor itself: the standard library's handle buffers lines, which would hold blocks back.
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { file, names: None, written: 0 })
    }

    /// A file that is called `PATH.part` until it is complete.
    fn part(path: &Path) -> io::Result<Self> {
        let part = part_of(path);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&part)?;
        Ok(Self { file, names: Some((part, path.to_owned())), written: 0 })
    }

    fn complete(self) -> io::Result<()> {
        self.names.map_or(Ok(()), |(part, path)| fs::rename(part, path))
    }
}

impl Write for TapeOut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The name of a tape while it is written.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}
