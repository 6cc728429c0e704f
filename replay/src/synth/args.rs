//! The arguments of `synth`.

use std::path::PathBuf;

use clap::Args;
use redtape_core::config::Period;

/// `synth`
#[derive(Args, Debug)]
pub struct SynthArgs {
    /// The scenario: a YAML file, `-` for standard input, or the name of an included one (see --list)
    #[arg(required_unless_present_any = ["list", "schema"])]
    pub scenario: Option<PathBuf>,
    /// Where to write the tape; `-` is standard output
    #[arg(long, short, value_name = "TAPE", required_unless_present_any = ["list", "schema", "print", "check", "truth", "totals"])]
    pub output: Option<PathBuf>,
    /// Another seed than the scenario's
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// So many requests, instead of what the scenario says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "duration")]
    pub requests: Option<u64>,
    /// Requests for so long, instead of what the scenario says
    #[arg(long, value_name = "DURATION")]
    pub duration: Option<Period>,
    /// Write what has happened, whether it is on the tape or lost, as JSON lines like those of `replay --spans json`
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
    /// Write what has happened by service, kind, method and route: requests, errors, durations, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub totals: Option<PathBuf>,
    /// Run the tape through the engine as well, and say how its spans differ from the truth; fails with exit code 1 if one is
    /// wrong or, where nothing is lost, if anything differs
    #[arg(long)]
    pub check: bool,
    /// Overwrite existing files
    #[arg(long)]
    pub force: bool,
    /// List the included scenarios
    #[arg(long, exclusive = true)]
    pub list: bool,
    /// Print the scenario, to begin one of your own with
    #[arg(long, conflicts_with_all = ["output", "check"])]
    pub print: bool,
    /// Print the JSON Schema of scenarios, for editors
    #[arg(long, exclusive = true)]
    pub schema: bool,
    /// Say nothing of what was written
    #[arg(long, short)]
    pub quiet: bool,
}
