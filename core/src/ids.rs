//! Identities: of tapes' origins, connections, processes, threads, traces and spans.
//!
//! A recorder numbers connections and processes within its own recording. Tapes of several hosts may be replayed at
//! once, so in memory a number is always mixed with the origin it comes from: that makes it unique, and well spread
//! enough to be its own hash.

use std::fmt;

/// The recording that a fact was first written by, kept by slice, merge, redact, repair and rotation. A random UUID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(pub [u8; 16]);

impl Origin {
    fn seed(self) -> u64 {
        let [a, b] = [&self.0[..8], &self.0[8..]].map(|half| u64::from_le_bytes(half.try_into().expect("8 bytes")));
        mix(a ^ mix(b))
    }
}

impl fmt::Display for Origin {
    /// The usual text form of a UUID.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Origin {
    type Err = ();

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, ()> {
        let digits: String = text.split('-').collect();
        let number = u128::from_str_radix(&digits, 16).map_err(drop)?;
        let origin = Self(number.to_be_bytes());
        if origin.to_string() == text { Ok(origin) } else { Err(()) }
    }
}

macro_rules! origin_key {
    ($(#[$doc:meta])* $name:ident, $salt:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// The key of what `origin` numbered `id`.
            pub fn new(origin: Origin, id: u64) -> Self {
                Self(mix(id ^ origin.seed() ^ $salt))
            }

            /// The number that makes this key with `origin`: the inverse of [`Self::new`].
            ///
            /// Where the key was made with another origin, the result is no number that anyone gave out, but it still
            /// makes the same key.
            pub fn id(self, origin: Origin) -> u64 {
                unmix(self.0) ^ origin.seed() ^ $salt
            }

            /// A well-mixed number: its low bits choose a virtual shard, and it needs no further hashing.
            pub const fn get(self) -> u64 {
                self.0
            }
        }
    };
}

origin_key!(
    /// One end of one connection, in this process's memory. Distinct origins cannot be told apart by number alone.
    ConnKey, 0x636f_6e6e
);
origin_key!(
    /// One process (thread group) from its exec or first sight to its exit.
    ProcKey, 0x7072_6f63
);

/// A thread group id (what user space calls a process id), in the recorder's pid namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tgid(pub u32);

/// A thread id, in the recorder's pid namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(pub u32);

/// A trace's id: 16 bytes, not all zero (W3C Trace Context, section 3.2.2.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub [u8; 16]);

/// A span's id: 8 bytes, not all zero (W3C Trace Context, section 3.2.2.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub [u8; 8]);

impl SpanId {
    /// The id of a child that is made of the same exchange; `purpose` tells children apart.
    #[must_use]
    pub fn child(self, purpose: u64) -> Self {
        Self(mix(mix(u64::from_be_bytes(self.0)) ^ purpose).max(1).to_be_bytes())
    }
}

macro_rules! hex_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}
hex_text!(TraceId);
hex_text!(SpanId);

/// Derives trace and span ids: a hash of (origin, connection id within it, direction, byte position of the message, purpose).
///
/// The same message always gets the same ids, whatever slice, merge or rotation the tape went through. This is not a
/// cryptographic hash: ids are unique, not secret.
#[derive(Clone, Copy, Debug)]
pub struct IdHasher {
    state: u64,
}

impl IdHasher {
    /// Starts with the origin and the connection's id within it.
    pub fn new(origin: Origin, conn_id: u64) -> Self {
        Self { state: mix(origin.seed() ^ mix(conn_id)) }
    }

    /// Adds a number: a direction, a byte position, a purpose.
    #[must_use]
    pub fn with(self, number: u64) -> Self {
        Self { state: mix(self.state.rotate_left(29) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) }
    }

    /// The span id.
    pub fn span_id(self) -> SpanId {
        SpanId(mix(self.state ^ 0x7370_616e).max(1).to_be_bytes())
    }

    /// The trace id.
    pub fn trace_id(self) -> TraceId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&mix(self.state ^ 0x7472_6163).max(1).to_be_bytes());
        id[8..].copy_from_slice(&mix(self.state ^ 0x6531_3238).to_be_bytes());
        TraceId(id)
    }
}

/// A bijection of 64-bit numbers that changes half of the output bits for each input bit: splitmix64's finalizer.
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The inverse of [`mix`].
const fn unmix(mut x: u64) -> u64 {
    x = (x ^ (x >> 31) ^ (x >> 62)).wrapping_mul(0x3196_42b2_d24d_8ec3);
    x = (x ^ (x >> 27) ^ (x >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    x ^ (x >> 30) ^ (x >> 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_back_its_number() {
        let origin = Origin([7; 16]);
        for id in [0, 1, 2, 77, u64::MAX, 0x0123_4567_89ab_cdef] {
            assert_eq!(ConnKey::new(origin, id).id(origin), id);
            assert_eq!(ProcKey::new(origin, id).id(origin), id);
        }
    }
}
