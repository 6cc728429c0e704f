//! What the integration tests share: processes that end with their test, recordings, and what a replay says of them.
//!
//! The tests drive the binaries from outside, as a user does. They use nothing of the product's own crates, so that a
//! mistake there cannot hide itself here.
#![forbid(unsafe_code)]

mod binary;
mod browser;
mod greetings;
mod http;
mod live;
mod otlp;
mod process;
mod program;
mod prometheus;
mod recorder;
mod replay;
mod requirement;
mod server;
mod trial;

pub use binary::binary;
pub use browser::{PageCell, PageRow, Visit, visit};
pub use greetings::{Answered, Counts, Greetings, Load, Truth, load, message, message_at};
pub use http::{Answer, get, percent_encoded, request};
pub use live::Live;
pub use otlp::{Otlp, Point, Scripted, points, received};
pub use process::{Finished, Process};
pub use program::{Conversation, Program, Source, certificate, conversation, go_of_debian, tool};
pub use prometheus::{Prometheus, Vector};
pub use recorder::{Recorder, Recording};
pub use replay::{Info, Span, info, metrics, replay, served, spans};
pub use requirement::Requirement;
pub use server::{DeadPort, Server, free_port, wait_until_it_accepts};
pub use trial::trial;

pub use rustix::process::Signal;

/// What a test ends with: an error's text is the failure's message.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
