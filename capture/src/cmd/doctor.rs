//! `redtape-capture doctor`

use std::io::{self, Write};

use crate::cli::DoctorArgs;
use crate::doctor::{Check, State, checks};
use crate::exit::Failure;

/// Prints what the host supports.
///
/// # Errors
/// Something is missing without which nothing can be recorded.
pub(crate) fn doctor(args: DoctorArgs) -> Result<(), Failure> {
    let checks = checks();
    let text = if args.json { json(&checks) } else { table(&checks) };
    // A reader that closed the pipe has seen enough.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    let missing = checks.iter().filter(|check| check.state == State::Missing);
    match missing.map(|check| check.name.as_str()).collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        names => Err(Failure::environment(format!("this host cannot record: {}", names.join(", ")))),
    }
}

fn json(checks: &[Check]) -> String {
    let mut text = serde_json::to_string_pretty(checks).expect("invariant: checks are plain strings");
    text.push('\n');
    text
}

fn table(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Check { name, state, detail, remedy } in checks {
        let state = match state {
            State::Ok => "ok",
            State::Limited => "limited",
            State::Missing => "MISSING",
        };
        text.push_str(&format!("{name:width$}  {state:7}  {detail}\n"));
        if !remedy.is_empty() {
            text.push_str(&format!("{:width$}           -> {remedy}\n", ""));
        }
    }
    text
}
