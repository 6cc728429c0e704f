//! Where results go: files, which have their name when they are complete; devices and pipes, as they are; standard output.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use redtape_core::tape::WriterOptions;

use crate::failure::{Failure, Kind, Result};
use crate::stdout::Output;

/// Something that is being written. Of a file, nothing is left without [`Destination::finish`].
pub(crate) struct Destination {
    /// How messages name it.
    name: String,
    out: Output,
    part: Option<Part>,
}

impl Destination {
    /// Begins to write a result that is made of `inputs`.
    ///
    /// A regular file is called `NAME.part` until it is complete. One that is there is only replaced if `force` says so; it
    /// keeps its permissions, and links to it stay. Who may not read the inputs may not read a new one either. Into
    /// devices and pipes it is written as they are, and `-` is standard output.
    ///
    /// # Errors
    ///
    /// It must not be written, or cannot be; it is an input; or another program writes a file of this name.
    pub(crate) fn create(path: &Path, force: bool, inputs: &[PathBuf]) -> Result<Self> {
        Self::create_as(path, "part", force, inputs)
    }

    /// The same for files that are called `NAME.extension` until they are complete.
    ///
    /// # Errors
    ///
    /// As above.
    pub(crate) fn create_as(path: &Path, extension: &str, force: bool, inputs: &[PathBuf]) -> Result<Self> {
        if is_stdout(path) {
            return Ok(Self { name: "standard output".into(), out: Output::stdout(), part: None });
        }
        let name = path.display().to_string();
        let usage = |message: String| Err(Failure::message(Kind::Usage, format!("{name}: {message}")));
        let failed = |error: io::Error| unwritable(&name, &error);
        let there = match fs::metadata(path) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        match &there {
            Some(there) if there.is_dir() => return usage("is a directory; name a file in it".into()),
            Some(_) if inputs.iter().any(|input| is_same(input, path)) => {
                return usage("is read itself; name another file".into());
            }
            // Nothing that was written to a pipe, a terminal or /dev/null before is lost.
            Some(there) if !force && (there.is_file() || is_block_device(there)) => {
                return usage("exists already; --force overwrites it".into());
            }
            Some(there) if !there.is_file() => {
                let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
                return Ok(Self { out: Output::to(file), name, part: None });
            }
            Some(_) => {}
            None => {
                if let Ok(target) = fs::read_link(path) {
                    let target = target.display();
                    return usage(format!("is a link to {target}, which is not there; name that file itself"));
                }
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
                if let Some(folder) = folder {
                    let message = format!("{name}: cannot be written: there is no folder {}", folder.display());
                    return Err(Failure::message(Kind::Environment, message));
                }
            }
        }
        let (file, part) = Part::create(path, extension, there.as_ref(), inputs)?;
        Ok(Self { name, out: Output::to(file), part: Some(part) })
    }

    /// Whether standard output or a pipe gets it while it is made, and no file when it is complete.
    pub(crate) const fn is_streamed(&self) -> bool {
        self.part.is_none()
    }

    /// How blocks of a tape are cut for it.
    pub(crate) const fn tape_options(&self) -> WriterOptions {
        if self.is_streamed() { WriterOptions::PIPE } else { WriterOptions::FILE }
    }

    /// How messages name it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What to say where a write fails, also when it has been handed on.
    pub(crate) fn failed(&self) -> impl Fn(io::Error) -> Failure + use<> {
        let name = self.name.clone();
        move |error| unwritable(&name, &error)
    }

    /// Writes a result as a whole.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(crate) fn write_whole(mut self, bytes: &[u8]) -> Result {
        self.write_all(bytes).map_err(self.failed())?;
        self.finish()
    }

    /// All is written: a file gets its name.
    ///
    /// # Errors
    ///
    /// It cannot be written, or not be renamed.
    pub(crate) fn finish(mut self) -> Result {
        let failed = self.failed();
        self.out.flush().map_err(&failed)?;
        self.part.take().map_or(Ok(()), Part::finish).map_err(failed)
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A file that has not got its name yet, and is removed if it never does.
struct Part {
    file: File,
    part: Option<PathBuf>,
    path: PathBuf,
}

impl Part {
    /// Begins the file that takes the place of `there`, if that is there.
    fn create(path: &Path, extension: &str, there: Option<&Metadata>, inputs: &[PathBuf]) -> Result<(File, Self)> {
        let name = path.display();
        // What a link names is replaced, not the link; and what must not be written is not replaced either.
        let path = match there {
            Some(_) => {
                OpenOptions::new().write(true).open(path).map_err(|error| unwritable(&name, &error))?;
                path.canonicalize().map_err(|error| unwritable(&name, &error))?
            }
            None => path.to_owned(),
        };
        let part = path.with_added_extension(extension);
        let name = part.display();
        let file = new_file(&part, there.is_some(), inputs).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                let message =
                    format!("{name}: exists already: something still writes it, or was cut short; remove it first");
                Failure::message(Kind::Usage, message)
            }
            _ => unwritable(&name, &error),
        })?;
        let begin = || {
            there.map_or(Ok(()), |there| make_like(&file, there))?;
            file.try_clone()
        };
        let clone = begin();
        let new = Self { file, part: Some(part.clone()), path };
        Ok((clone.map_err(|error| unwritable(&name, &error))?, new))
    }

    fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        if let Some(part) = &self.part {
            fs::rename(part, &self.path)?;
        }
        self.part = None;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            // What is left of it is of no use; that it cannot be removed is not what failed.
            let _ = fs::remove_file(part);
        }
    }
}

/// Whether a path means standard output.
pub(crate) fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path == Path::new(name))
}

/// What to say where something cannot be written.
pub(crate) fn unwritable(name: impl std::fmt::Display, error: &io::Error) -> Failure {
    Failure::message(Kind::Environment, format!("{name}: cannot be written: {error}"))
}

fn is_same(input: &Path, output: &Path) -> bool {
    fs::canonicalize(input).ok().zip(fs::canonicalize(output).ok()).is_some_and(|(a, b)| a == b)
}

#[cfg(unix)]
fn is_block_device(there: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_block_device(&there.file_type())
}

#[cfg(not(unix))]
const fn is_block_device(_: &Metadata) -> bool {
    false
}

/// A file of which nothing is there yet. Tapes have cookies and tokens in them, so who may not read one of the inputs may not
/// read this; and what replaces another file is for its owner alone until it is [like that one](make_like).
#[cfg(unix)]
fn new_file(path: &Path, replaces: bool, inputs: &[PathBuf]) -> io::Result<File> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

    let files = inputs.iter().filter_map(|input| fs::metadata(input).ok()).filter(Metadata::is_file);
    let mode = files.fold(0o666, |mode, file| mode & file.permissions().mode()) | 0o600;
    OpenOptions::new().write(true).create_new(true).mode(if replaces { 0o600 } else { mode }).open(path)
}

#[cfg(not(unix))]
fn new_file(path: &Path, _: bool, _: &[PathBuf]) -> io::Result<File> {
    File::create_new(path)
}

/// Gives a file the permissions of another and, where that is allowed, its owner.
fn make_like(file: &File, other: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        // Only root may; for anybody else, the file is the writer's.
        let _ = fchown(file, Some(other.uid()), Some(other.gid()));
    }
    file.set_permissions(other.permissions())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    use std::thread;

    use tempfile::TempDir;

    use super::*;

    /// What is said to a result for `path`, without and with `--force`.
    fn refused(path: &Path) -> [String; 2] {
        [false, true].map(|force| match Destination::create(path, force, &[]) {
            Ok(_) => String::new(),
            Err(failure) => {
                let name = path.display().to_string();
                failure.to_string().strip_prefix(&name).map(ToOwned::to_owned).unwrap_or_else(|| failure.to_string())
            }
        })
    }

    fn write(path: &Path, inputs: &[PathBuf]) {
        Destination::create(path, true, inputs).unwrap().write_whole(b"new").unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn count(folder: &TempDir) -> usize {
        fs::read_dir(folder.path()).unwrap().count()
    }

    #[test]
    fn a_file_has_its_name_when_it_is_complete_and_not_before() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.html");
        let mut page = Destination::create(&path, false, &[]).unwrap();
        page.write_all(b"page").unwrap();
        assert!(!path.exists());
        let second = refused(&path)[1].clone();
        assert!(second.starts_with(".part: exists already: something still writes it"), "{second}");
        page.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"page");
        assert_eq!(refused(&path), [": exists already; --force overwrites it", ""]);
        assert_eq!((count(&folder), fs::read(&path).unwrap()), (1, b"page".to_vec()), "what was given up is left");
        write(&path, &[]);
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn links_and_permissions_stay() {
        let folder = TempDir::new().unwrap();
        let (path, link) = (folder.path().join("a"), folder.path().join("link"));
        fs::write(&path, b"old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        symlink("a", &link).unwrap();
        assert_eq!(refused(&link)[0], ": exists already; --force overwrites it");
        write(&link, &[]);
        assert_eq!((fs::read_link(&link).unwrap().as_path(), mode(&path)), (Path::new("a"), 0o640));
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn what_is_no_place_for_a_file_is_told() {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink("nowhere", at("dangling")).unwrap();
        symlink("loop", at("loop")).unwrap();
        fs::write(at("file"), b"").unwrap();
        let twice = |text: &str| [text.to_owned(), text.to_owned()];
        assert_eq!(refused(folder.path()), twice(": is a directory; name a file in it"));
        assert_eq!(
            refused(&at("dangling")),
            twice(": is a link to nowhere, which is not there; name that file itself")
        );
        let missing = format!(": cannot be written: there is no folder {}", at("no/such").display());
        assert_eq!(refused(&at("no/such/file")), twice(&missing));
        for (name, part) in [("loop", "cannot be written: Too many levels"), ("file/a", "cannot be written: Not a dir")]
        {
            let said = refused(&at(name));
            assert!(said.iter().all(|said| said.contains(part)), "{said:?}");
        }
        assert_eq!(count(&folder), 3);
    }

    #[test]
    fn what_may_not_be_written_is_not_replaced() {
        let folder = TempDir::new().unwrap();
        let (file, inner) = (folder.path().join("a"), folder.path().join("inner"));
        fs::write(&file, b"old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o444)).unwrap();
        fs::create_dir(&inner).unwrap();
        fs::set_permissions(&inner, Permissions::from_mode(0o555)).unwrap();
        // Root may write everywhere.
        let root = OpenOptions::new().write(true).open(&file).is_ok();
        for path in [&file, &inner.join("b")] {
            let [_, said] = refused(path);
            assert_eq!(
                (said.is_empty(), said.contains("cannot be written: Permission denied")),
                (root, !root),
                "{said}"
            );
        }
        fs::set_permissions(&inner, Permissions::from_mode(0o755)).unwrap();
        assert_eq!((count(&folder), fs::read(&file).unwrap(), mode(&file)), (2, b"old".to_vec(), 0o444));
    }

    #[test]
    fn devices_and_pipes_are_written_as_they_are() {
        let folder = TempDir::new().unwrap();
        let (null, pipe) = (folder.path().join("null"), folder.path().join("pipe"));
        symlink("/dev/null", &null).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let reader = {
            let pipe = pipe.clone();
            thread::spawn(move || fs::read(pipe).unwrap())
        };
        for path in [&null, &pipe] {
            let mut new = Destination::create(path, false, &[]).unwrap();
            assert!(new.is_streamed());
            new.write_all(b"page").unwrap();
            assert_eq!(count(&folder), 2, "a part of what is no file");
            new.finish().unwrap();
        }
        assert_eq!(reader.join().unwrap(), b"page");
        assert_eq!(fs::read_link(&null).unwrap(), Path::new("/dev/null"));
        assert!(fs::metadata(&null).unwrap().file_type().is_char_device());
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    }

    #[test]
    fn standard_output_has_several_names() {
        for name in ["-", "/dev/stdout", "/dev/fd/1"] {
            let stdout = Destination::create(Path::new(name), false, &[]).unwrap();
            assert_eq!((stdout.name(), stdout.is_streamed()), ("standard output", true));
        }
        assert!(!is_stdout(Path::new("./-")));
    }

    #[test]
    fn what_is_made_of_a_private_file_is_private() {
        let folder = TempDir::new().unwrap();
        let [tape, other, made, open] = ["tape", "other", "made", "open"].map(|name| folder.path().join(name));
        for (path, mode) in [(&tape, 0o400), (&other, 0o644)] {
            fs::write(path, b"").unwrap();
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        write(&made, &[other.clone(), tape.clone(), "-".into()]);
        assert_eq!(mode(&made), 0o600);
        write(&open, std::slice::from_ref(&other));
        assert_eq!(mode(&open) & !0o644, 0);
        // What there was keeps its own.
        fs::set_permissions(&open, Permissions::from_mode(0o604)).unwrap();
        write(&open, std::slice::from_ref(&tape));
        assert_eq!(mode(&open), 0o604);
        let Err(failure) = Destination::create(&tape, true, &[other, tape.clone()]) else {
            panic!("an input is replaced")
        };
        assert!(failure.to_string().ends_with(": is read itself; name another file"), "{failure}");
    }
}
