//! A tape that is being written, as a stream that waits at its end for more; and the files of its set that follow it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::interrupt::Interrupt;

/// How often it is looked for more.
const POLL: Duration = Duration::from_millis(50);

/// The bytes of a file that grows. They end when the interrupt is asked for; whoever reads a tape knows where it ends before.
pub(super) struct Growing {
    file: File,
    interrupt: Interrupt,
}

/// A file and its name.
pub(super) type Found = (PathBuf, File);

impl Growing {
    pub(super) fn new(file: File, interrupt: &Interrupt) -> Self {
        Self { file, interrupt: interrupt.clone() }
    }
}

impl Read for Growing {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            // Asked before: what came until then is still read.
            let last = self.interrupt.asked();
            let read = self.file.read(bytes)?;
            if read > 0 || last {
                return Ok(read);
            }
            thread::sleep(POLL);
        }
    }
}

/// Opens the tape at `path`: complete, being written, or the oldest file of the set of that name; `None` if there is none yet.
pub(super) fn find(path: &Path) -> io::Result<Option<Found>> {
    open_first(|| {
        let single = [path.to_owned(), part_of(path)].into_iter().find(|path| path.exists());
        single.or_else(|| files_of_set(path).into_iter().next().map(|(_, file)| file))
    })
}

/// The same, but waits until there is one; `None` if it is interrupted before.
pub(super) fn open(path: &Path, interrupt: &Interrupt) -> io::Result<Option<Found>> {
    wait_for(interrupt, || find(path))
}

/// Opens the file of the set after `number`, or the first one behind it that is still there.
pub(super) fn open_after(path: &Path, number: u32, interrupt: &Interrupt) -> io::Result<Option<Found>> {
    wait_for(interrupt, || {
        open_first(|| {
            let mut files = files_of_set(path).into_iter();
            files.find(|(other, _)| *other > number).map(|(_, file)| file)
        })
    })
}

/// Opens what is found. What has gone meanwhile was completed, and has its own name by then.
fn open_first(found: impl Fn() -> Option<PathBuf>) -> io::Result<Option<Found>> {
    while let Some(path) = found() {
        match File::open(&path) {
            Ok(file) => return Ok(Some((path, file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn wait_for(interrupt: &Interrupt, found: impl Fn() -> io::Result<Option<Found>>) -> io::Result<Option<Found>> {
    loop {
        if let Some(found) = found()? {
            return Ok(Some(found));
        }
        if interrupt.asked() {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// The name of a tape while it is written.
pub(super) fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// The files of the set that `path` names, either by the name that was given for the set or by that of one of its files.
fn files_of_set(path: &Path) -> Vec<(u32, PathBuf)> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(stem) = path.file_name().and_then(|name| name.to_str()).map(stem_of) else { return Vec::new() };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries
        .filter_map(|file| {
            let (of, number) = numbered(file.file_name()?.to_str()?)?;
            (of == stem).then_some((number, file))
        })
        .collect();
    files.sort_unstable();
    files
}

/// What the names of a set's files begin with.
fn stem_of(name: &str) -> &str {
    let plain = name.strip_suffix(".part").unwrap_or(name);
    numbered(plain).map_or_else(|| plain.rsplit_once('.').map_or(plain, |(stem, _)| stem), |(stem, _)| stem)
}

/// The set and the number in a name such as `shop.0007.tape.part`.
fn numbered(name: &str) -> Option<(&str, u32)> {
    let name = name.strip_suffix(".part").unwrap_or(name);
    let (rest, _) = name.rsplit_once('.')?;
    let (stem, digits) = rest.rsplit_once('.')?;
    let number = digits.len() >= 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    Some((stem, digits.parse().ok().filter(|_| number)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_found_by_its_name_and_by_that_of_a_file() {
        for name in ["shop.tape", "shop.0007.tape", "shop.tape.part", "shop.0007.tape.part"] {
            assert_eq!(stem_of(name), "shop", "{name}");
        }
        assert_eq!(numbered("shop.0007.tape"), Some(("shop", 7)));
        for other in ["shop.tape", "shop.7.tape", "shop.000x.tape", "0007.tape"] {
            assert_eq!(numbered(other), None, "{other}");
        }
    }
}
