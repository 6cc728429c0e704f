//! How requests are sent, whatever the protocol: a queue with a bound, a thread that empties it, and a courier that tries again
//! what may pass, gives up in time, and counts. A protocol is a [`Way`].

mod courier;
mod http;
mod line;
mod way;

pub(crate) use courier::Duty;
pub(super) use courier::{Backoff, Courier, Destination};
pub(super) use http::{Http, Tls};
pub(super) use line::{Line, Queue};
pub(super) use way::{BoxError, Refusal, Way, short};

#[cfg(test)]
mod tests;
