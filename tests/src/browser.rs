//! A real browser, which opens a page of `redtape report` and tells what it saw.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::program::{script, tools};
use crate::{Process, Result};

const LIMIT: Duration = Duration::from_secs(120);

/// A row of a table: each column's cell, by the column's heading.
pub type PageRow = BTreeMap<String, PageCell>;

/// What a cell shows, and the exact value behind it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[expect(missing_docs, reason = "see above")]
pub struct PageCell {
    pub text: String,
    pub value: Option<String>,
}

/// What was seen of a page: see `tests/programs/node/report.js`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the keys are documented where they are written")]
pub struct Visit {
    pub title: String,
    pub console: Vec<String>,
    pub errors: Vec<String>,
    pub requests: Vec<String>,
    pub open_ms: f64,
    pub red: Option<Vec<PageRow>>,
    pub tiles: BTreeMap<String, u64>,
    pub tables: BTreeMap<String, Option<Vec<PageRow>>>,
    pub traces_shown: String,
    pub headings: Vec<String>,
    pub charts: Vec<Value>,
    pub accessibility: Value,
    pub keyboard: Value,
    pub light: Value,
    pub dark: Value,
    pub phone: Value,
    pub desktop: Value,
    pub linked: Value,
}

/// Opens `page` in Chromium. Screenshots are kept in `report-screenshots` of the target folder, called `NAME-*.png`.
///
/// # Errors
/// The browser cannot be run, or the page is not what the walk through it needs.
pub fn visit(page: &Path, name: &str) -> Result<Visit> {
    let screenshots = screenshots()?;
    let mut node = Command::new("node");
    node.arg(script("node/report.js")).arg(page).arg(&screenshots).arg(name);
    node.env("NODE_PATH", tools()?.join("npm/node_modules"));
    let finished = Process::run(&mut node, LIMIT)?.expect_code(0)?;
    Ok(serde_json::from_str(&finished.stdout).map_err(|error| format!("{error} in what the browser's script said"))?)
}

/// The folder of screenshots.
fn screenshots() -> Result<PathBuf> {
    let folder = tools()?.with_file_name("report-screenshots");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
