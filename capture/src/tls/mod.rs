//! TLS libraries within programs: where their functions are, and where the programs on them are attached.

mod attach;
mod attach_point;
mod attacher;
mod elf;
mod functions;
mod go;
mod points;
#[cfg(test)]
mod tests;
mod users;

pub use attach_point::{AttachPlan, ReturnPoint, plan, plan_entry, plan_go};
pub(crate) use attacher::{Attacher, News};
pub use elf::{ElfError, ElfFile, Function, Machine};
pub use go::{GoError, GoVersion, go_functions, go_version};
pub use points::{AttachPoint, go_points};
pub(crate) use users::{TlsUse, tls_use};
