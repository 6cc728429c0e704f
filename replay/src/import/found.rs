//! What importing met with: counters, and what of it a user has to know.

use std::collections::BTreeMap;
use std::fmt;

use redtape_core::Count;

/// Why nothing more can be read of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Its end is missing.
    Truncated,
    /// What follows is wrong.
    Damaged(String),
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("truncated: the end is missing"),
            Self::Damaged(why) => write!(f, "damaged: {why}"),
        }
    }
}

/// What an import has counted so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Packets, or events of a capture of system calls.
    pub records: u64,
    /// Those that were used: TCP segments, or calls on TCP sockets.
    pub used: u64,
    /// Connections that were told of.
    pub connections: u64,
    /// Connections that carry TLS, whose content cannot be read.
    pub tls: u64,
    /// Bytes of the file, decompressed, that were read.
    pub read: u64,
    /// Nothing more can be read of the file.
    pub cut: Option<Cut>,
    /// It is an export of a tape that had no end.
    pub is_without_end: bool,
    /// Why the tape that it was exported from, or what stands in its place, cannot be read.
    pub unread_tape: Option<String>,
    /// Packets of link types that are not read, by number.
    pub unknown_links: BTreeMap<u32, u64>,
    /// Packets that are not what their headers say.
    pub malformed: u64,
    /// Segments, or calls, of which not all payload is in the file.
    pub snapped: u64,
    /// Of those, the ones that a head was cut in.
    pub cut_heads: u64,
    /// Segments of bytes that came before.
    pub retransmitted: u64,
    /// Holes: places where bytes are missing.
    pub holes: u64,
    /// Bytes that are missing there.
    pub missing_bytes: u64,
    /// Packets of which a fragment never came.
    pub unfinished_fragments: u64,
    /// Records with a time before that of an earlier one.
    pub back_in_time: u64,
    /// What was forgotten because there was too much of it, by name.
    pub forgotten: BTreeMap<&'static str, u64>,
    /// Calls on sockets of which the addresses are not known.
    pub unknown_sockets: u64,
    /// Events that the capture's driver dropped, as far as it said so.
    pub dropped: u64,
}

impl Found {
    /// Counts what is forgotten because there is too much of it.
    pub(super) fn forget(&mut self, what: &'static str, count: usize) {
        if count > 0 {
            *self.forgotten.entry(what).or_default() += count as u64;
        }
    }

    /// What is wrong with a capture of which nothing was used, though there is something; `what` is what it consists of.
    pub fn unused(&self, what: &'static str) -> Option<String> {
        let is_unused = self.used == 0 && self.records > 0;
        is_unused
            .then(|| format!("nothing of {} is used: {}", Count(self.records, what), self.warnings(what).join("; ")))
    }

    /// What a user has to know, one sentence each. `what` is what the file consists of.
    pub fn warnings(&self, what: &'static str) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |count: u64, text: String| {
            if count > 0 {
                warnings.push(text);
            }
        };
        if let Some(cut) = &self.cut {
            warn(1, format!("{cut}; everything before byte {} was read", self.read));
        }
        if let Some(why) = &self.unread_tape {
            warn(
                1,
                format!(
                    "of the tape that it was exported from, nothing can be read: {why}; its packets are taken as any others are"
                ),
            );
        }
        for (link, count) in &self.unknown_links {
            warn(*count, format!("skipped, as link type {link} is not supported: {}", Count(*count, "packet")));
        }
        let skipped = self.malformed + self.unknown_links.values().sum::<u64>();
        if self.cut.is_none() && self.used == 0 && (self.records == 0 || skipped < self.records) {
            let reason = if self.records == 0 { "there are none" } else { "none is of a TCP connection" };
            warn(1, format!("nothing to import of {}: {reason}", Count(self.records, what)));
        }
        warn(self.malformed, format!("malformed: {}", Count(self.malformed, what)));
        warn(
            self.cut_heads,
            format!(
                "heads of messages are cut off in {}, as not all payload was captured (capture with a larger `-s`)",
                Count(self.cut_heads, what)
            ),
        );
        warn(self.holes, format!("{} missing in {}", Count(self.missing_bytes, "byte"), Count(self.holes, "hole")));
        warn(self.dropped, format!("dropped while capturing: {}", Count(self.dropped, what)));
        warn(
            self.unfinished_fragments,
            format!("fragments are missing of {}", Count(self.unfinished_fragments, "IP packet")),
        );
        warn(
            self.back_in_time,
            format!("not in order of time: {} (reordercap mends that)", Count(self.back_in_time, what)),
        );
        for (what, count) in &self.forgotten {
            warn(*count, format!("too many at once, forgotten: {}", Count(*count, what)));
        }
        warn(
            self.unknown_sockets,
            format!("on sockets of unknown addresses, left out: {}", Count(self.unknown_sockets, "call")),
        );
        if self.tls > 0 {
            let all = if self.tls >= self.connections { "all are" } else { "of all" };
            let (tls, connections) = (Count(self.tls, "connection"), Count(self.connections, "connection"));
            warn(1, format!("encrypted with TLS, so that nothing can be read: {tls}, {all} {connections}"));
        }
        warnings
    }
}
