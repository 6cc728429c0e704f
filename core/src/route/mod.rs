//! `http.route`: patterns that the configuration gives, and routes that are found from paths alone.

mod class;
mod decorator;
mod explain;
mod heuristic;
mod learn;
mod learned;
mod lexicon;
mod lint;
mod matcher;
mod path;
mod proposal;
mod sample;
#[cfg(test)]
mod tests;
mod tree;

pub use class::Class;
pub(crate) use class::class_of;
pub use decorator::{Decorator, RouteDecision, RouteError, RouteRule};
pub use explain::{Explanation, SegmentExplanation, SegmentReason};
pub use learned::Evidence;
pub use lint::{PatternAt, PatternTrouble, RouteFinding, RouteLint};
pub(crate) use matcher::Matcher;
pub use matcher::PatternError;
pub(crate) use path::decoded;
pub use proposal::{LeftOut, Proposal, ProposedPattern};
