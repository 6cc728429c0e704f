//! How often things happen in a scenario.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error, Visitor};

/// Reads a number of parts of a thousand.
pub(super) fn per_mille<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    deserializer.deserialize_any(Parts)
}

struct Parts;

impl Visitor<'_> for Parts {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("parts of a thousand, a whole number from 0 to 1000")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u32, E> {
        match u32::try_from(number) {
            Ok(parts @ 0..=1000) => Ok(parts),
            _ => Err(E::custom(format!("{number} is more than 1000 parts of a thousand: 1000 is always"))),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u32, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::custom(format!("{number} is negative; 0 parts of a thousand are never"))),
        }
    }
}

macro_rules! per_mille {
    ($($(#[$doc:meta])* $field:ident = $some:literal,)*) => {
        /// How often things happen, each in parts of a thousand. In YAML, what is not named never happens.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct PerMille {
            $(
                $(#[$doc])*
                #[serde(deserialize_with = "per_mille")]
                #[schemars(range(min = 0, max = 1000))]
                pub $field: u32,
            )*
        }

        impl PerMille {
            /// Requests and responses one after the other, all of which end well.
            pub const NOTHING: Self = Self { $($field: 0,)* };
            /// A bit of everything.
            pub const SOME: Self = Self { $($field: $some,)* };

            /// What is more than always.
            pub(super) fn fault(&self) -> Option<&'static str> {
                [$((stringify!($field), self.$field),)*].into_iter().find_map(|(name, often)| (often > 1000).then_some(name))
            }
        }
    };
}

per_mille! {
    /// Connections of clients that are recorded, too.
    recorded_clients = 300,
    /// HTTP/1 requests that are sent without waiting for the response before them.
    pipelined = 150,
    /// Requests that begin a trace: they carry a `traceparent`, and so do the calls that they cause.
    traceparent = 200,
    /// HTTP/1 bodies in chunks.
    chunked = 250,
    /// Requests that expect `100 Continue`, or whose responses are preceded by `103 Early Hints`.
    interim = 60,
    /// HTTP/1 messages with a bare line feed at the end of lines.
    bare_line_feeds = 30,
    /// Bodies and tunnels that look like messages. Where bytes are lost, nobody could tell such a body from what it looks
    /// like.
    lures = 0,
    /// HTTP/1 exchanges after which the connection becomes a tunnel (101, CONNECT).
    tunnels = 15,
    /// HTTP/1 exchanges after which the server closes, in order; half of these responses end with the connection.
    closing = 40,
    /// HTTP/1 requests that the server closes the connection on, without a word.
    unanswered = 15,
    /// HTTP/1 responses that break off, and HTTP/2 streams that are reset.
    cut = 20,
    /// HTTP/1 requests that the client breaks off in their body.
    abandoned = 10,
}
