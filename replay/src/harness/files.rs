//! Finds files: specs under the paths that are given, and what a name with wildcards means.

use std::io;
use std::path::{Path, PathBuf};

use redtape_core::config::did_you_mean;
use regex::Regex;
use walkdir::WalkDir;

use super::advice;
use crate::failure::{Failure, Kind, Result};

/// What the name of a spec ends in.
const SUFFIX: &str = ".test.yaml";

/// The specs at `paths`, sorted: files as they are, and of folders all below. A path that is neither there nor has any is an error.
pub(crate) fn specs(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut specs = Vec::new();
    for path in paths {
        if !path.is_dir() {
            if !path.exists() {
                let advice = advice::told(similar(path).as_deref());
                let message = format!("{}: is not there{advice}", path.display());
                return Err(Failure::message(Kind::Usage, message));
            }
            specs.push(path.clone());
            continue;
        }
        let before = specs.len();
        for entry in below(path) {
            let entry = entry.map_err(|error| Failure::message(Kind::Input, format!("{}: {error}", path.display())))?;
            if entry.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(SUFFIX)) {
                specs.push(entry);
            }
        }
        if specs.len() == before {
            let message = format!("{}: has no spec: no file below it ends in `{SUFFIX}`", path.display());
            return Err(Failure::message(Kind::Usage, message));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    specs.retain(|spec| seen.insert(spec.clone()));
    Ok(specs)
}

/// All files below a folder, sorted by name. Links are not followed, so there is an end.
pub(crate) fn below(folder: &Path) -> impl Iterator<Item = io::Result<PathBuf>> {
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter();
    entries.filter_map(|entry| match entry {
        Ok(entry) => entry.file_type().is_file().then(|| Ok(entry.into_path())),
        Err(error) => Some(Err(error.into())),
    })
}

/// The files that a name means, sorted: `*` and `?` may be in its last part. Empty if there is none.
pub(crate) fn expand(path: &Path) -> io::Result<Vec<PathBuf>> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !name.contains(['*', '?']) {
        return Ok(if path.exists() { vec![path.into()] } else { Vec::new() });
    }
    let parts = name.chars().map(|char| match char {
        '*' => ".*".to_owned(),
        '?' => ".".to_owned(),
        other => regex::escape(&other.to_string()),
    });
    let pattern = Regex::new(&format!("^{}$", parts.collect::<String>())).map_err(io::Error::other)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in folder.read_dir()? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name().to_str().is_some_and(|name| pattern.is_match(name)) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// The name of the file in the same folder that is most like one that is not there.
pub(crate) fn similar(path: &Path) -> Option<String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = folder.read_dir().ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> = names.collect();
    names.sort();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    did_you_mean(path.file_name()?.to_str()?, &names).map(ToOwned::to_owned)
}
