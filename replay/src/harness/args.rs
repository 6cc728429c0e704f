//! The command line of `redtape test`.

use std::path::PathBuf;

use clap::Args;
use regex::Regex;

/// `test`
#[derive(Args, Debug)]
#[command(
    after_long_help = "The format of specs is described in docs/testing.md, and by the JSON Schema that --schema prints."
)]
pub struct Test {
    /// Specs, and folders with specs anywhere below: files whose names end in `.test.yaml`
    #[arg(required_unless_present = "schema", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Only specs whose path or name this regular expression fits
    #[arg(long, value_name = "REGEX")]
    pub filter: Option<Regex>,
    /// Say which specs there are, and run none
    #[arg(long, conflicts_with_all = ["bless", "junit"])]
    pub list: bool,
    /// How many specs to run at once; the output is in order all the same [default: as many as there are CPUs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: Option<u16>,
    /// Accept what was found: rewrite values that differ, and golden files. Refused where the variable `CI` is set
    #[arg(long)]
    pub bless: bool,
    /// Accept what was found, also where the variable `CI` is set
    #[arg(long, requires = "bless")]
    pub bless_in_ci: bool,
    /// Fail where a folder has golden files or tapes that no spec uses; of all specs, so without `--filter`
    #[arg(long)]
    pub strict: bool,
    /// Write a report in JUnit's XML, a suite a spec and a case a check; also where checks fail
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// One JSON object instead of lines for people
    #[arg(long)]
    pub json: bool,
    /// Only what failed, and the last line
    #[arg(long, short)]
    pub quiet: bool,
    /// Print the JSON Schema of specs
    #[arg(long, exclusive = true)]
    pub schema: bool,
}
