//! Takes the configuration up anew: on SIGHUP, and when the file has changed.

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

/// How often the file is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// What tells one state of a file from another. By its path: what a link points to may be exchanged, as a `ConfigMap`'s is.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// The configuration file of a recording.
pub(crate) struct ConfigWatch {
    path: PathBuf,
    hangup: Arc<AtomicBool>,
    file: Settled<Stamp>,
    next: Instant,
    /// What the recording goes by.
    text: ConfigText,
}

impl ConfigWatch {
    /// Watches the file that `text` is from, and from now on takes SIGHUP as a sign that it has changed.
    ///
    /// # Errors
    /// The signal cannot be watched for.
    pub(crate) fn new(path: &Path, text: ConfigText) -> io::Result<Self> {
        let hangup = Arc::new(AtomicBool::new(false));
        flag::register(SIGHUP, Arc::clone(&hangup))?;
        let (file, next) = (Settled::new(stamp(path)), Instant::now() + PERIOD);
        Ok(Self { path: path.into(), hangup, file, next, text })
    }

    /// The file, if it may have changed since this was asked last.
    pub(crate) fn changed(&mut self) -> Option<&Path> {
        let asked = self.hangup.swap(false, Ordering::Relaxed);
        let now = Instant::now();
        if !asked && now < self.next {
            return None;
        }
        self.next = now + PERIOD;
        (self.file.look(stamp(&self.path)) || asked).then_some(&self.path)
    }

    /// Whether `text` is another configuration than the one before; it is the one from now on.
    pub(crate) fn take(&mut self, text: &ConfigText) -> bool {
        let other = self.text != *text;
        self.text.clone_from(text);
        other
    }
}

fn stamp(path: &Path) -> Stamp {
    let facts = fs::metadata(path).ok()?;
    Some((facts.dev(), facts.ino(), facts.size(), facts.mtime(), facts.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_map_is_exchanged_by_its_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("one"), "a").unwrap();
        fs::write(path("two"), "b").unwrap();
        std::os::unix::fs::symlink(path("one"), path("link")).unwrap();
        let before = stamp(&path("link"));
        assert!(before.is_some());
        std::os::unix::fs::symlink(path("two"), path("new")).unwrap();
        fs::rename(path("new"), path("link")).unwrap();
        assert_ne!(stamp(&path("link")), before);
        assert_eq!(stamp(&path("none")), None);
    }

    #[test]
    fn the_same_text_is_no_change() {
        let text = |yaml: &str| ConfigText { yaml: yaml.into(), ..ConfigText::default() };
        let mut watch = ConfigWatch::new(Path::new("/nowhere"), text("a")).unwrap();
        assert_eq!([text("a"), text("b"), text("b")].map(|text| watch.take(&text)), [false, true, false]);
    }
}
