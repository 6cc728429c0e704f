//! `redtape-capture`, the recorder. See the library for what it is made of.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    redtape_capture::run()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("redtape-capture: recording needs Linux; `redtape` replays tapes on this system");
    ExitCode::from(5)
}
