//! redtape's recorder: chooses processes, lets the BPF programs watch their TCP sockets, and writes what they say to a
//! tape. Nothing here parses a payload.
//!
//! It runs on Linux only; elsewhere the crate is empty and its program says so.
#![cfg(target_os = "linux")]
#![deny(unsafe_code)]

mod bpf;
mod capabilities;
mod cli;
mod clock;
mod cmd;
mod command;
mod doctor;
mod exit;
mod host;
mod names;
mod process;
mod progress;
mod recording;
mod redact;
mod reload;
mod run;
mod settings;
mod snapshot;
mod sock_diag;
mod stop;
mod tape;
mod tls;
mod transcribe;
mod units;
mod wiring;

pub use bpf::{ArrivalHook, BtfError, Counters, LanePosition, LoadError, PayloadLimits, ProbeOptions, Probes};
pub use capabilities::{Need, Privileges, ProbeFunctions, WriteAnywhere, drop_unneeded};
pub use cli::{Cli, Command, DoctorArgs, RecordArgs, TlsMode};
pub use clock::{mono_now, read_clocks};
pub use command::{HeldCommand, hold};
pub use doctor::{Check, State, checks};
pub use exit::{ExitStatus, Failure};
pub use host::{HostFacts, PidNamespace, random_origin};
pub use process::{Change, Inode, PortIndex, ProcFs, ProcessTable, StartKey};
pub use progress::{Progress, Totals};
pub use recording::{EndReason, EventSink, RecordSource, Recording, RecordingError, Reloaded, Until};
pub use redact::Redacting;
pub use run::run;
pub use settings::{Output, Redaction, Settings};
pub use snapshot::{Snapshot, Unreadable, snapshot};
pub use sock_diag::{TcpSocket, dump, dump_in_namespace_of};
pub use stop::{Hangup, Stop};
pub use tape::TapeSink;
pub use tls::{
    AttachPlan, AttachPoint, ElfError, ElfFile, Function, GoError, GoVersion, Machine, ReturnPoint, go_functions,
    go_points, go_version, plan, plan_entry, plan_go,
};
pub use transcribe::{Transcriber, TranscriberCounts};
