//! Asks a Kubernetes cluster for the pods of this node. Only `redtape live` does: what it learns goes onto its tape, and a
//! replay has it from there.

mod facts;
mod watch;

pub(crate) use watch::{PodWatch, Wanted};

#[cfg(test)]
mod tests;
