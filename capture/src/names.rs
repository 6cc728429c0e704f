//! What the files of a tape are called: while it is written, when it is complete, and as one of a set.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The name of a tape while it is written.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// The name of a file of a rotated set: `shop.0007.tape`.
pub(crate) fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".{number:04}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// The numbers and files that are there of the set at `path`, complete or not, by number.
///
/// # Errors
/// The folder cannot be listed.
pub(crate) fn files_of_set(path: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        files.extend(number_of(path, &file).map(|number| (number, file)));
    }
    files.sort_unstable();
    Ok(files)
}

/// The number of `file` in the set at `path`, if it is of that set.
fn number_of(path: &Path, file: &Path) -> Option<u32> {
    let stem = path.file_stem()?.to_str()?;
    let digits = file.file_name()?.to_str()?.strip_prefix(stem)?.strip_prefix('.')?;
    let number = digits.split('.').next()?.parse().ok()?;
    let name = numbered(path, number);
    let same = |name: &Path| name.file_name() == file.file_name();
    (same(&name) || same(&part_of(&name))).then_some(number)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{number_of, numbered};

    #[test]
    fn numbers_stand_before_the_extension() {
        let name = |path: &str| numbered(Path::new(path), 7).display().to_string();
        assert_eq!(name("a/shop.tape"), "a/shop.0007.tape");
        assert_eq!(name("shop"), "shop.0007");
        assert_eq!(name("shop.1.tape"), "shop.1.0007.tape");
    }

    #[test]
    fn files_of_a_set_are_told_from_others() {
        let number = |file: &str| number_of(Path::new("a/shop.tape"), Path::new(file));
        assert_eq!(number("a/shop.0007.tape"), Some(7));
        assert_eq!(number("a/shop.0007.tape.part"), Some(7));
        assert_eq!(number("a/shop.12345.tape"), Some(12345));
        for other in ["a/shop.tape", "a/shop.7.tape", "a/shop.0007.txt", "a/shopping.0007.tape", "a/shop.+007.tape"] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
