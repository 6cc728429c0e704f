//! Watches the configuration file, and waits for SIGHUP.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redtape_core::config::{ConfigText, Settled};
use signal_hook::consts::SIGHUP;
use signal_hook::flag;

use super::session::check;
use super::users::own_name;

/// How often the file is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// What tells one state of a file from another. By its path: what a link points to may be exchanged, as a `ConfigMap`'s is.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// The configuration file of a live run.
pub(super) struct Watch {
    path: PathBuf,
    env: BTreeMap<String, String>,
    hangup: Arc<AtomicBool>,
    file: Settled<Stamp>,
    next: Instant,
}

impl Watch {
    /// Watches `path`, and from now on takes SIGHUP as a sign that it has changed. `env` stands for keys of it.
    pub(super) fn new(path: &Path, env: BTreeMap<String, String>) -> io::Result<Self> {
        let hangup = Arc::new(AtomicBool::new(false));
        flag::register(SIGHUP, Arc::clone(&hangup))?;
        Ok(Self { path: path.into(), env, hangup, file: Settled::new(stamp(path)), next: Instant::now() + PERIOD })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it may have changed since this was asked last.
    pub(super) fn changed(&mut self) -> bool {
        if self.hangup.swap(false, Ordering::Relaxed) {
            return true;
        }
        let now = Instant::now();
        if now < self.next {
            return false;
        }
        self.next = now + PERIOD;
        self.file.look(stamp(&self.path))
    }

    /// What it says now, with what has no effect.
    pub(super) fn read(&self) -> Result<(ConfigText, Vec<String>), String> {
        let yaml = fs::read_to_string(&self.path).map_err(|error| unreadable(&self.path, &error))?;
        check(&yaml, &self.env, &self.path.display().to_string()).map(|(text, _, warnings)| (text, warnings))
    }
}

/// Why a file cannot be read, and what to do.
fn unreadable(path: &Path, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("; {}, who has to be able to read it and to enter its folders", own_name())
        }
        _ => String::new(),
    };
    format!("{}: cannot be read: {error}{advice}", path.display())
}

fn stamp(path: &Path) -> Stamp {
    let facts = fs::metadata(path).ok()?;
    Some((facts.dev(), facts.ino(), facts.size(), facts.mtime(), facts.mtime_nsec()))
}
