//! `--keep`: a ring of tapes of what live got, with what it learned from outside.
//!
//! Blocks are cut where those that came were cut, so that a replay is told of processes and connections at the same
//! moments, and its output is the same.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use redtape_core::tape::{
    Block, BlockKind, CloseReason, Meta, Outside, RotatingWriter, Rotation, Totals, WriterOptions,
};
use redtape_core::{Body, Event, Ext, MonoNanos};

use super::args::KeepArgs;
use super::follow::part_of;
use crate::failure::{Failure, Kind, Result};

/// What the names of kept tapes begin with.
const PREFIX: &str = "live-";

/// Opens the file of a number of a set, and completes the one before.
type OpenNext = Box<dyn FnMut(u32, Option<(Totals, Kept)>) -> io::Result<Kept>>;

/// The ring of tapes.
pub(super) struct Keep {
    folder: PathBuf,
    files: usize,
    rotation: Rotation,
    set: Option<RotatingWriter<Kept, OpenNext>>,
    /// Files of a set that goes on are one tape.
    tape: [u8; 16],
    /// The snapshot that is being read.
    snapshot: Option<MonoNanos>,
    outside: Outside,
    /// The set has no time yet, so that nothing can be said in its place.
    fresh: bool,
}

impl Keep {
    /// A ring in the folder that the command line names, if it names one.
    ///
    /// # Errors
    /// Nothing can be written there.
    pub(super) fn new(args: &KeepArgs) -> Result<Option<Self>> {
        let Some(folder) = args.folder.clone() else { return Ok(None) };
        if folder.exists() && !folder.is_dir() {
            let message = format!("--keep {}: is a file; give a folder, in which tapes are kept", folder.display());
            return Err(Failure::message(Kind::Usage, message));
        }
        let probe = folder.join(".redtape-writable");
        let written =
            fs::create_dir_all(&folder).and_then(|()| File::create(&probe)).and_then(|_| fs::remove_file(probe));
        written.map_err(|error| {
            let shown = folder.display();
            let message = format!(
                "--keep {shown}: cannot be written: {error}; when started as root, live goes on as the user that --user \
                 names, who needs the folder: `chown nobody {shown}`"
            );
            Failure::message(Kind::Environment, message)
        })?;
        Ok(Some(Self {
            folder,
            files: usize::try_from(args.files).unwrap_or(usize::MAX),
            rotation: Rotation { bytes: Some(args.size), nanos: args.age.map(|age| age.0.nanos()) },
            set: None,
            tape: [0; 16],
            snapshot: None,
            outside: Outside::default(),
            fresh: true,
        }))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A tape begins; `meta` says what it is to be replayed with.
    pub(super) fn begin(&mut self, meta: &Meta, reason: CloseReason) -> io::Result<()> {
        let meta = meta.of_copy();
        if self.set.is_some() && self.tape == meta.tape {
            return Ok(());
        }
        self.finish(reason)?;
        self.tape = meta.tape;
        let (folder, files) = (self.folder.clone(), self.files);
        let name = format!("{PREFIX}{}", utc_name(meta.started.unix_nanos()));
        let open = move |number: u32, before: Option<(Totals, Kept)>| {
            before.map_or(Ok(()), |(_, kept)| kept.complete())?;
            make_room(&folder, files)?;
            Kept::create(&folder.join(format!("{name}.{number:04}.tape")))
        };
        self.set = Some(RotatingWriter::new(meta, WriterOptions::FILE, self.rotation, Box::new(open) as OpenNext)?);
        self.fresh = true;
        Ok(())
    }

    /// Takes a block of the tape.
    pub(super) fn block(&mut self, block: &Block) -> io::Result<()> {
        let Some(set) = &mut self.set else { return Ok(()) };
        if block.kind() != BlockKind::Snapshot
            && let Some(time) = self.snapshot.take()
        {
            set.writer()?.snapshot(time, [])?;
        }
        match block.kind() {
            BlockKind::Snapshot => self.snapshot = Some(block.first_time()),
            BlockKind::Note => {
                let text = block.annotation().into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("\n");
                set.writer()?.note(block.first_time(), &text)?;
            }
            _ => {}
        }
        for event in block.events() {
            if let Body::Enrich(facts) = event.body {
                self.outside.learn(facts);
            }
            set.push(&event)?;
        }
        set.writer()?.flush()?;
        if std::mem::take(&mut self.fresh) {
            let time = block.last_time();
            self.outside.facts().try_for_each(|facts| set.push(&enrich(time, facts)))?;
        }
        Ok(())
    }

    /// Takes what was learned from outside at `time`.
    pub(super) fn enrich(&mut self, time: MonoNanos, facts: &[(String, String)]) -> io::Result<()> {
        self.outside.learn(facts);
        match &mut self.set {
            Some(set) if !self.fresh => set.push(&enrich(time, facts)),
            _ => Ok(()),
        }
    }

    /// Completes the last tape.
    pub(super) fn finish(&mut self, reason: CloseReason) -> io::Result<()> {
        let Some(mut set) = self.set.take() else { return Ok(()) };
        if let Some(time) = self.snapshot.take() {
            set.writer()?.snapshot(time, [])?;
        }
        set.finish(reason)?.1.complete()
    }
}

fn enrich(time: MonoNanos, facts: &[(String, String)]) -> Event<'_> {
    Event { time, cpu: 0, seq: 0, late: false, body: Body::Enrich(facts), ext: Ext::default() }
}

/// Removes the oldest tapes, so that one more fits. Their names begin with the time at which they were begun.
fn make_room(folder: &Path, files: usize) -> io::Result<()> {
    let mut kept: Vec<_> = fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(PREFIX) && (name.ends_with(".tape") || name.ends_with(".tape.part"))
        })
        .collect();
    kept.sort_unstable();
    let surplus = (kept.len() + 1).saturating_sub(files);
    kept.iter().take(surplus).try_for_each(|path| match fs::remove_file(path) {
        // Somebody was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    })
}

/// A moment as part of a file's name, such as `20261122T205500.123Z`: in the order of time, and of one length.
fn utc_name(nanos: u64) -> String {
    let moment = jiff::Timestamp::from_nanosecond(nanos.into()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    moment.strftime("%Y%m%dT%H%M%S.%3fZ").to_string().replace('.', "-")
}

/// A file that is called `NAME.part` until it is complete. Only its owner may read it: heads have cookies in them.
pub(super) struct Kept {
    file: File,
    part: PathBuf,
    path: PathBuf,
}

impl Kept {
    fn create(path: &Path) -> io::Result<Self> {
        let part = part_of(path);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        Ok(Self { file, part, path: path.into() })
    }

    fn complete(self) -> io::Result<()> {
        fs::rename(self.part, self.path)
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
