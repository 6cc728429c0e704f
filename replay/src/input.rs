//! Tapes as given on the command line: files, `-` for standard input, several at once; also captures of other tools.

use std::fs::File;
use std::io::{self, Cursor, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redtape_core::tape::{OpenError, Place, ReadError, ReadReport, Reader, WriterOptions};
use redtape_core::{Count, MonoNanos};

use crate::failure::{Failure, Kind, Result, chain};
use crate::import::{self, Bytes, ImportOptions, Notice, Opened};

/// A tape that was opened, or a capture of another tool, which is read as one.
pub(crate) struct Tape {
    /// How messages name it.
    pub(crate) name: String,
    /// The file's size, if it is a file.
    pub(crate) size: Option<u64>,
    pub(crate) reader: Reader<Bytes>,
    /// It is a capture of another tool.
    import: Option<Notice>,
    /// It was tried to pass over something.
    sought: bool,
}

impl Tape {
    /// Opens a file, or standard input for `-`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let stdin = path == Path::new("-");
        let name = if stdin { "standard input".into() } else { path.display().to_string() };
        let unreadable = |error: io::Error| Failure::message(Kind::Input, format!("{name}: cannot be read: {error}"));
        let (bytes, size): (Bytes, _) = if stdin {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path).map_err(|error| match unfinished(path) {
                Some(part) if error.kind() == io::ErrorKind::NotFound => Failure::message(
                    Kind::Input,
                    format!(
                        "{name}: there is {} only, which a recorder still writes, or was cut short in writing",
                        part.display()
                    ),
                ),
                _ => unreadable(error),
            })?;
            let data = file.metadata().map_err(unreadable)?;
            if data.is_dir() {
                return Err(Failure::message(Kind::Input, format!("{name}: is a directory, not a tape")));
            }
            let size = data.is_file().then_some(data.len());
            (Box::new(file), size)
        };
        let opened = import::open(bytes, ImportOptions::default(), WriterOptions::PIPE).map_err(unreadable)?;
        let (bytes, import): (Bytes, _) = match opened {
            Opened::Other(bytes) => (bytes, None),
            Opened::Capture(capture) => {
                let notice = Notice::new(&name, &capture);
                (Box::new(notice.when_read(capture)), Some(notice))
            }
        };
        let reader = Reader::open(bytes).map_err(|error| open_failure(&name, &error))?;
        // In a capture there is nothing to seek by.
        let sought = import.is_some();
        Ok(Self { name, size, reader, import, sought })
    }

    /// What is told of the import, if it is a capture of another tool.
    pub(crate) const fn notice(&self) -> Option<&Notice> {
        self.import.as_ref()
    }

    /// Says nothing of what importing met with.
    pub(crate) fn hush(&self) {
        self.import.iter().for_each(Notice::hush);
    }

    /// Opens a tape that is in memory.
    pub(crate) fn in_memory(name: &str, bytes: &Arc<[u8]>) -> Result<Self> {
        let (name, size) = (name.to_owned(), Some(bytes.len() as u64));
        let bytes: Bytes = Box::new(Cursor::new(Arc::clone(bytes)));
        let reader = Reader::open(bytes).map_err(|error| open_failure(&name, &error))?;
        // There is no file to seek in.
        Ok(Self { name, size, reader, import: None, sought: true })
    }

    /// Passes over what is before `from`, where the tape's INDEX allows it.
    pub(crate) fn seek(&mut self, from: MonoNanos) -> Result {
        if std::mem::replace(&mut self.sought, true) || self.size.is_none() {
            return Ok(());
        }
        let unreadable =
            |error: io::Error| Failure::message(Kind::Input, format!("{}: cannot be read: {error}", self.name));
        // Whatever is in the way of seeking, the tape can be read on as it is.
        let Ok(mut file) = File::open(&self.name) else { return Ok(()) };
        let place = Place::find(&mut file, from).map_err(unreadable)?;
        if let Some(place) = place.filter(|place| place.offset > self.reader.bytes_read()) {
            file.seek(SeekFrom::Start(place.offset)).map_err(unreadable)?;
            self.reader.read_on(Box::new(file), &place);
        }
        Ok(())
    }

    /// Opens them all; standard input at most once.
    pub(crate) fn open_all(paths: &[PathBuf]) -> Result<Vec<Self>> {
        one_standard_input(paths)?;
        paths.iter().map(|path| Self::open(path)).collect()
    }

    /// Says on stderr in what state the tape was, if it was not whole; fails if it has to be.
    pub(crate) fn check(name: &str, report: &ReadReport, strict: bool, quiet: bool) -> Result {
        let complaints = complaints(report);
        if complaints.is_empty() {
            return Ok(());
        }
        let text = complaints.join("; ");
        if strict {
            return Err(Failure::message(Kind::Input, format!("{name}: {text}")));
        }
        if !quiet {
            eprintln!("redtape: warning: {name}: {text}");
        }
        Ok(())
    }
}

/// Standard input can be read once.
pub(crate) fn one_standard_input(paths: &[PathBuf]) -> Result {
    if paths.iter().filter(|path| *path == Path::new("-")).count() > 1 {
        return Err(Failure::message(Kind::Usage, "`-` is given twice, but there is one standard input"));
    }
    Ok(())
}

/// The file of a tape that has not got its name yet, if there is one.
fn unfinished(path: &Path) -> Option<PathBuf> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    Some(PathBuf::from(part)).filter(|part| part.exists())
}

/// What is wrong with a tape, in words.
pub(crate) fn complaints(report: &ReadReport) -> Vec<String> {
    let mut complaints = Vec::new();
    if report.corrupt_blocks > 0 || report.missing_blocks > 0 {
        complaints.push(format!(
            "{} damaged and {} missing; their events are lost",
            Count(report.corrupt_blocks, "block"),
            report.missing_blocks
        ));
    }
    if report.truncated {
        complaints.push("truncated: the end is missing; everything before it was read".into());
    }
    if report.skipped_bytes > 0 {
        complaints.push(format!("{} could not be read", Count(report.skipped_bytes, "byte")));
    }
    if report.missing_events() > 0 {
        complaints.push(format!("missing of what was recorded: {}", Count(report.missing_events(), "event")));
    }
    if report.unknown_blocks > 0 {
        complaints.push(format!("skipped, as of a newer version: {}", Count(report.unknown_blocks, "block")));
    }
    if report.unknown_records > 0 {
        complaints.push(format!("skipped, as of a newer version: {}", Count(report.unknown_records, "event")));
    }
    complaints
}

/// The failure of opening a tape.
pub(crate) fn open_failure(name: &str, error: &OpenError) -> Failure {
    let kind = if matches!(error, OpenError::Version { .. }) { Kind::Version } else { Kind::Input };
    let what = match error {
        OpenError::NotATape => "not a tape, nor a capture of another tool (pcap, pcapng, scap)".to_owned(),
        error => chain(error),
    };
    Failure::message(kind, format!("{name}: {what}"))
}

/// The failure of reading on.
pub(crate) fn read_failure(name: &str, error: &ReadError) -> Failure {
    let kind = if matches!(error, ReadError::Unsupported { .. }) { Kind::Version } else { Kind::Input };
    Failure::message(kind, format!("{name}: {}", chain(error)))
}
