//! `http.route`: patterns that the configuration gives, and routes that are found from paths alone.

mod class;
mod decorator;
mod heuristic;
mod learn;
mod lexicon;
mod matcher;
mod path;
mod sample;
mod tree;

pub use class::Class;
pub use decorator::{Decorator, Evidence, RouteDecision, RouteError, RouteRule};
pub use matcher::PatternError;
