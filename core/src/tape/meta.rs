//! META: who wrote a tape, where and how; and the tagged texts that META, NOTE and ENRICH blocks consist of.

use std::collections::BTreeMap;

use super::codec::{put_varint, take_bytes, take_size, take_varint};
use crate::ids::Origin;
use crate::time::WallNanos;

/// What is known of a tape as a whole. Everything but `tape` and `origin` may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// This file's own UUID.
    pub tape: [u8; 16],
    /// The recording that the events were first written by; it outlives slice, merge, redact, repair and rotation.
    pub origin: Origin,
    /// The rotated set that the file belongs to, if any.
    pub set: Option<SetMember>,
    /// Name and version of what wrote it.
    pub tool: String,
    /// The host's name.
    pub host: String,
    /// The kernel's release.
    pub kernel: String,
    /// The architecture, as in `uname -m`.
    pub arch: String,
    /// CPUs that were online.
    pub cpus: u32,
    /// `/proc/sys/kernel/random/boot_id`: tapes with the same one share their monotonic clock.
    pub boot_id: String,
    /// The recorder's command line.
    pub command: Vec<String>,
    /// The recorder's configuration, YAML.
    pub config: String,
    /// What arrival times come from: a kernel function or tracepoint, or empty if there are none.
    pub arrival_hook: String,
    /// How much payload was kept, in words for people.
    pub payload_limits: String,
    /// The name of the redaction policy that was applied, empty if none.
    pub redaction: String,
    /// When the recording started.
    pub started: WallNanos,
    /// Anything else.
    pub extra: Vec<(String, String)>,
}

/// The place of a file in a rotated set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetMember {
    /// The set's UUID.
    pub set: [u8; 16],
    /// Its number, from 0 on.
    pub number: u32,
}

/// Makes the UUID of a copy another one than that of a file of a set.
const COPY_SEED: u64 = 1;

/// The keys of [`Meta::extra`] that say on which host another recording was made; its origin stands behind.
const HOST_OF: &str = "host.of.";

/// Tags of META's fields. Never reused; unknown ones are ignored.
mod tag {
    pub(super) const TAPE: u64 = 1;
    pub(super) const ORIGIN: u64 = 2;
    pub(super) const SET: u64 = 3;
    pub(super) const SET_NUMBER: u64 = 4;
    pub(super) const TOOL: u64 = 5;
    pub(super) const HOST: u64 = 6;
    pub(super) const KERNEL: u64 = 7;
    pub(super) const ARCH: u64 = 8;
    pub(super) const CPUS: u64 = 9;
    pub(super) const BOOT_ID: u64 = 10;
    pub(super) const COMMAND_ARG: u64 = 11;
    pub(super) const CONFIG: u64 = 12;
    pub(super) const ARRIVAL_HOOK: u64 = 13;
    pub(super) const PAYLOAD_LIMITS: u64 = 14;
    pub(super) const REDACTION: u64 = 15;
    pub(super) const STARTED: u64 = 16;
    pub(super) const EXTRA_KEY: u64 = 17;
    pub(super) const EXTRA_VALUE: u64 = 18;
}

impl Meta {
    /// META of another tape with the same events: it differs in the UUID, which is made of this one's, and belongs to no set.
    #[must_use]
    pub fn of_copy(&self) -> Self {
        let of = self.set.map_or(self.tape, |member| member.set);
        let tape = twox_hash::XxHash3_128::oneshot_with_seed(COPY_SEED, &of).to_le_bytes();
        Self { tape, set: None, ..self.clone() }
    }

    /// META of a tape with a part of these events, or other ones in their place; `what` says what it has, and tells parts of one tape apart.
    #[must_use]
    pub fn of_part(&self, what: &str) -> Self {
        let seed = [&self.tape[..], what.as_bytes()].concat();
        let tape = twox_hash::XxHash3_128::oneshot_with_seed(COPY_SEED, &seed).to_le_bytes();
        Self { tape, set: None, ..self.clone() }
    }

    /// The recordings that the events may be of and the names of their hosts, as far as they are known. A merged tape has several.
    pub fn hosts(&self) -> impl Iterator<Item = (Origin, &str)> {
        let others = self.extra.iter().filter_map(|(key, host)| Some((host_of(key)?, host.as_str())));
        others.chain((!self.host.is_empty()).then_some((self.origin, self.host.as_str())))
    }

    /// Says on which hosts the recordings were made that are not this tape's own.
    pub(crate) fn set_hosts(&mut self, hosts: &BTreeMap<Origin, &str>) {
        self.extra.retain(|(key, _)| host_of(key).is_none());
        let others = hosts.iter().filter(|(origin, _)| **origin != self.origin);
        self.extra.extend(others.map(|(origin, host)| (format!("{HOST_OF}{origin}"), (*host).to_owned())));
    }

    /// Appends the fields that are not empty.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_field(tag::TAPE, &self.tape, out);
        put_field(tag::ORIGIN, &self.origin.0, out);
        if let Some(SetMember { set, number }) = &self.set {
            put_field(tag::SET, set, out);
            put_field(tag::SET_NUMBER, number.to_string().as_bytes(), out);
        }
        let cpus = if self.cpus == 0 { String::new() } else { self.cpus.to_string() };
        let started = match self.started.unix_nanos() {
            0 => String::new(),
            nanos => nanos.to_string(),
        };
        for (tag, text) in [
            (tag::TOOL, &self.tool),
            (tag::HOST, &self.host),
            (tag::KERNEL, &self.kernel),
            (tag::ARCH, &self.arch),
            (tag::CPUS, &cpus),
            (tag::BOOT_ID, &self.boot_id),
            (tag::CONFIG, &self.config),
            (tag::ARRIVAL_HOOK, &self.arrival_hook),
            (tag::PAYLOAD_LIMITS, &self.payload_limits),
            (tag::REDACTION, &self.redaction),
            (tag::STARTED, &started),
        ] {
            if !text.is_empty() {
                put_field(tag, text.as_bytes(), out);
            }
        }
        for arg in &self.command {
            put_field(tag::COMMAND_ARG, arg.as_bytes(), out);
        }
        put_pairs(&self.extra, out);
    }

    /// Reads the fields. What is malformed is left as it is: a tape is worth reading without them.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let mut meta = Self::default();
        for (tag, value) in fields(bytes) {
            let text = || String::from_utf8_lossy(value).into_owned();
            match tag {
                tag::TAPE => meta.tape = value.try_into().unwrap_or_default(),
                tag::ORIGIN => meta.origin = Origin(value.try_into().unwrap_or_default()),
                tag::SET => meta.set.get_or_insert_default().set = value.try_into().unwrap_or_default(),
                tag::SET_NUMBER => meta.set.get_or_insert_default().number = text().parse().unwrap_or_default(),
                tag::TOOL => meta.tool = text(),
                tag::HOST => meta.host = text(),
                tag::KERNEL => meta.kernel = text(),
                tag::ARCH => meta.arch = text(),
                tag::CPUS => meta.cpus = text().parse().unwrap_or_default(),
                tag::BOOT_ID => meta.boot_id = text(),
                tag::COMMAND_ARG => meta.command.push(text()),
                tag::CONFIG => meta.config = text(),
                tag::ARRIVAL_HOOK => meta.arrival_hook = text(),
                tag::PAYLOAD_LIMITS => meta.payload_limits = text(),
                tag::REDACTION => meta.redaction = text(),
                tag::STARTED => meta.started = WallNanos::new(text().parse().unwrap_or_default()),
                _ => {}
            }
        }
        meta.extra = take_pairs(bytes);
        meta
    }
}

/// The recording whose host a fact of this name tells.
pub(crate) fn host_of(key: &str) -> Option<Origin> {
    key.strip_prefix(HOST_OF)?.parse().ok()
}

/// Appends keys and values.
pub(super) fn put_pairs(pairs: &[(String, String)], out: &mut Vec<u8>) {
    for (key, value) in pairs {
        put_field(tag::EXTRA_KEY, key.as_bytes(), out);
        put_field(tag::EXTRA_VALUE, value.as_bytes(), out);
    }
}

/// The keys and values among the fields.
pub(super) fn take_pairs(bytes: &[u8]) -> Vec<(String, String)> {
    let (mut pairs, mut key) = (Vec::new(), None);
    for (tag, value) in fields(bytes) {
        let text = String::from_utf8_lossy(value).into_owned();
        match tag {
            tag::EXTRA_KEY => key = Some(text),
            tag::EXTRA_VALUE => pairs.extend(key.take().map(|key| (key, text))),
            _ => {}
        }
    }
    pairs
}

fn put_field(tag: u64, value: &[u8], out: &mut Vec<u8>) {
    put_varint(tag, out);
    put_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// The tagged fields, up to the first that is malformed.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        let tag = take_varint(&mut bytes)?;
        let len = take_size(&mut bytes)?;
        Some((tag, take_bytes(&mut bytes, len)?))
    })
}
