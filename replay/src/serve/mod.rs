//! What a run shows over HTTP while it lasts: metrics to be scraped, what redtape says of itself, and its health.

mod answer;
mod endpoint;
mod internal;
mod negotiate;
mod protobuf;
mod server;
mod window;

pub use endpoint::Endpoint;
pub(crate) use server::{Listening, Serve, Server};
pub(crate) use window::Health;
