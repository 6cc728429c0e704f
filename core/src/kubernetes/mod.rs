//! Containers and pods: which container a process is in, and what is known of the pod around it.
//!
//! A container is told by the path of a process's cgroup, which the recorder writes down. A pod comes from outside, as
//! ENRICH events that `redtape live` writes to its tape. Nothing here asks anybody.

mod cgroup;
mod pod;
mod table;

pub use cgroup::ContainerRef;
pub use pod::{Container, Pod, PodFact};
pub(crate) use table::Pods;
