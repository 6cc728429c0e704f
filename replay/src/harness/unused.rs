//! Files that no spec uses: golden ones and tapes that nobody would miss.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::check::is_golden;
use super::files;
use super::spec::Loaded;
use crate::failure::{Failure, Kind, Result};

/// The golden files and tapes below `paths` that none of `specs` names, sorted.
pub(crate) fn unused(paths: &[PathBuf], specs: &[&Loaded]) -> Result<Vec<String>> {
    let used: BTreeSet<PathBuf> = specs.iter().flat_map(|spec| used(spec)).map(|path| normal(&path)).collect();
    let mut unused = BTreeSet::new();
    for folder in paths.iter().filter(|path| path.is_dir()) {
        for file in files::below(folder) {
            let file = file.map_err(|error| Failure::message(Kind::Input, format!("{}: {error}", folder.display())))?;
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if (name.ends_with(".tape") || is_golden(name)) && !used.contains(&normal(&file)) {
                unused.insert(file.display().to_string());
            }
        }
    }
    Ok(unused.into_iter().collect())
}

/// All files that a spec uses.
fn used(spec: &Loaded) -> Vec<PathBuf> {
    let mut used = spec.tapes.clone();
    for (_, expect) in spec.expectations() {
        let golden = expect.spans.iter().filter_map(|spans| spans.golden.as_deref());
        let metrics = expect.metrics.iter().flat_map(|metrics| metrics.iter());
        let openmetrics = metrics.filter_map(|(_, metrics)| metrics.openmetrics.as_deref());
        used.extend(golden.chain(openmetrics).map(|file| spec.beside(file)));
    }
    used
}

/// A path that is the same for the same file, as far as there is one.
fn normal(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.into())
}
