//! The BPF side of the recorder: loading the programs, talking to their maps.

mod btf;
mod error;
mod functions;
mod offsets;
mod probes;
mod skipped;
mod syscalls;
mod uprobes;

pub use btf::BtfError;
pub use error::LoadError;
pub(crate) use functions::{Attached, FunctionPrograms, Pacemaker, ProbeRefused};
pub(crate) use probes::TRACEPOINTS;
pub use probes::{ArrivalHook, Counters, LanePosition, PayloadLimits, ProbeOptions, Probes};
