//! What sets protocols apart.

use std::error::Error;
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

/// Why there is no way to a receiver.
pub(in crate::export) type BoxError = Box<dyn Error + Send + Sync>;

/// A protocol: how a request is sent, and what its answer means.
#[async_trait]
pub(in crate::export) trait Way: Debug + Send + Sync {
    /// Sends a message, and gives the answer, both in protobuf. Comes back within the time that one request may take.
    async fn send(&self, message: Bytes) -> Result<Bytes, Refusal>;

    /// How many of the units of a request its answer rejects, and why.
    fn rejected(&self, _answer: &[u8]) -> (u64, String) {
        (0, String::new())
    }
}

/// Why a request did not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::export) struct Refusal {
    /// In words, for people.
    pub(in crate::export) reason: String,
    /// Whether another try may do, and how long the receiver wants to be left alone until then.
    pub(in crate::export) again: Option<Option<Duration>>,
}

impl Refusal {
    /// Of what no other try mends.
    pub(in crate::export) fn lasting(reason: String) -> Self {
        Self { reason, again: None }
    }

    /// No answer came in time, which another try may mend.
    pub(in crate::export) fn late(timeout: Duration) -> Self {
        Self { reason: format!("no answer within {timeout:?}"), again: Some(None) }
    }

    /// The same with `advice`, where one of `signs` is in the reason.
    pub(in crate::export) fn advised(mut self, signs: &[&str], advice: &str) -> Self {
        if signs.iter().any(|sign| self.reason.contains(sign)) {
            self.reason = format!("{}: {advice}", self.reason);
        }
        self
    }
}

/// As much of a text as fits into a message, without what a terminal would obey.
pub(in crate::export) fn short(text: &str) -> String {
    const LONGEST: usize = 200;
    let text: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    text.trim_end().to_owned()
}
