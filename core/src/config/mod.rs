//! The configuration: Beyla's YAML, as types.

mod discovery;
mod pattern;
mod ports;
mod select;

pub use discovery::{DiscoveryConfig, EntryConfig, EntryRoutes, Targets};
pub use pattern::{GlobPattern, Pattern, RegexPattern};
pub use ports::{PortFault, PortList, PortListError};
pub use select::{Discovery, DiscoveryError, Rule};
