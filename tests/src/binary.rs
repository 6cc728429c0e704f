//! Where the binaries under test are, built when they are not there yet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::Result;

static BUILT: Mutex<BTreeMap<&str, PathBuf>> = Mutex::new(BTreeMap::new());

/// The path of a binary of this workspace: `redtape`, `redtape-capture`, `greetings`, `exchange`, `conversation` or
/// `grpc`.
///
/// Cargo builds the binaries of other packages for no test, so this asks it to, once for each, in the profile that the
/// test itself was built in. `REDTAPE_BIN_DIR` names a folder whose binaries are used as they are.
pub fn binary(name: &'static str) -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("REDTAPE_BIN_DIR") {
        return Ok(Path::new(&folder).join(name));
    }
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = built.get(name) {
        return Ok(path.clone());
    }
    let test = std::env::current_exe()?;
    let profile = test.ancestors().nth(2).ok_or("the test is not in a target folder")?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Of the whole workspace, and with a test beside it (any one would do): only so are dependencies built with the
    // features that `cargo test` builds them with, and not once more.
    cargo.args(["build", "--quiet", "--locked", "--workspace", "--bin", name, "--test", "configs"]);
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).env("CARGO_TARGET_DIR", target(profile)?);
    // What cargo tells this test of itself would make build scripts run anew, and with them what they built.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|own| name.to_string_lossy().starts_with(own)) {
            cargo.env_remove(name);
        }
    }
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.output()?;
    if !output.status.success() {
        return Err(format!("failed to build {name}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let path = profile.join(name);
    built.insert(name, path.clone());
    Ok(path)
}

/// The target folder of a profile's folder. With `--target TRIPLE` there is one more level between them.
pub(crate) fn target(profile: &Path) -> Result<&Path> {
    let parent = profile.parent().ok_or("the test is not in a target folder")?;
    let has_tag = |folder: &&Path| folder.join("CACHEDIR.TAG").exists();
    [Some(parent), parent.parent()].into_iter().flatten().find(has_tag).ok_or("no target folder above the test".into())
}
