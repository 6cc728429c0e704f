//! Opens what the record loop stands between: the probes and the tape.

use redtape_core::Origin;

use crate::exit::Failure;
use crate::host::HostFacts;
use crate::recording::{EventSink, EventSource};
use crate::settings::Settings;

/// Loads the probes.
pub(crate) fn open_probes(_: &Settings) -> Result<Box<dyn EventSource>, Failure> {
    Err(Failure::environment("this build has no BPF programs"))
}

/// Begins the tape.
pub(crate) fn open_tape(_: &Settings, _: &HostFacts, _: Origin) -> Result<Box<dyn EventSink>, Failure> {
    Err(Failure::environment("this build has no tape writer"))
}
