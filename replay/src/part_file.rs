//! Files of results: written as `NAME.part`, and called `NAME` when they are complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Kind, Result};

/// A file that is being written. Without [`PartFile::finish`], nothing is left of it.
pub(crate) struct PartFile {
    path: PathBuf,
    part: PathBuf,
    file: Option<BufWriter<File>>,
}

impl PartFile {
    /// Whether it may be written, as far as that can be known before there is anything to write.
    ///
    /// # Errors
    ///
    /// There is such a file, and it is not to be overwritten; or it is a directory.
    pub(crate) fn check(path: &Path, force: bool) -> Result {
        let name = path.display();
        match fs::metadata(path) {
            Ok(there) if there.is_dir() => {
                Err(Failure::message(Kind::Usage, format!("{name}: is a directory; name a file in it")))
            }
            Ok(_) if !force => {
                Err(Failure::message(Kind::Usage, format!("{name}: exists already; --force overwrites it")))
            }
            _ => Ok(()),
        }
    }

    /// Begins to write what shall be `path`, which may only exist if it is to be overwritten (`force`).
    ///
    /// # Errors
    ///
    /// There is such a file, or another program writes one of that name, or neither can be written there.
    pub(crate) fn create(path: &Path, force: bool) -> Result<Self> {
        Self::check(path, force)?;
        let part = path.with_added_extension("part");
        let file = File::create_new(&part).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                let part = part.display();
                let message =
                    format!("{part}: exists already: something still writes it, or was cut short; remove it first");
                Failure::message(Kind::Usage, message)
            }
            _ => unwritable(&part, &error),
        })?;
        Ok(Self { path: path.to_owned(), part, file: Some(BufWriter::with_capacity(64 << 10, file)) })
    }

    /// Gives the file its name.
    ///
    /// # Errors
    ///
    /// It cannot be written, or not be renamed.
    pub(crate) fn finish(mut self) -> Result {
        let Some(file) = self.file.take() else { return Ok(()) };
        let done = file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        done.and_then(|()| fs::rename(&self.part, &self.path)).map_err(|error| {
            // What is left of it is of no use; that it cannot be removed is not what failed.
            let _ = fs::remove_file(&self.part);
            unwritable(&self.path, &error)
        })
    }

    /// What to say where a write failed.
    pub(crate) fn unwritable(&self, error: &io::Error) -> Failure {
        unwritable(&self.path, error)
    }
}

impl Write for PartFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().map_or(Ok(0), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // As above.
            let _ = fs::remove_file(&self.part);
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::message(Kind::Environment, format!("{}: cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_file_has_its_name_when_it_is_complete_and_not_before() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.html");
        let mut file = PartFile::create(&path, false).unwrap();
        file.write_all(b"page").unwrap();
        assert!(!path.exists());
        assert!(PartFile::create(&path, true).is_err(), "two write one file");
        file.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"page");
        assert!(PartFile::create(&path, false).is_err(), "overwritten without being asked to");
        drop(PartFile::create(&path, true).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "what was given up is left");
        assert_eq!(fs::read(&path).unwrap(), b"page");
    }
}
