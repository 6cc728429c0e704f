//! Captures of other tools: what redtape makes of them is what those tools say of them, and what it exports they read.
//!
//! Traffic of real programs is captured on loopback; tshark, editcap and sysdig are asked about the same files.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod bad_input;
mod capture;
mod counts;
mod exports;
mod imports;
mod made;
mod scap;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let trials =
        [imports::trials(), made::trials(), exports::trials(), scap::trials(), bad_input::trials()].concat_trials();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// All trials of several modules.
trait ConcatTrials {
    fn concat_trials(self) -> Vec<libtest_mimic::Trial>;
}

impl<const N: usize> ConcatTrials for [Vec<libtest_mimic::Trial>; N] {
    fn concat_trials(self) -> Vec<libtest_mimic::Trial> {
        self.into_iter().flatten().collect()
    }
}
