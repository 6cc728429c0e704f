//! Both ends of an HTTP/2 connection, and the script that their frames go into.

use super::super::script::{Script, render, run};
use crate::facts::Role;
use crate::limits::Limits;
use crate::synth::frames::{self, HeaderEncoder, Style};

/// A connection: encodes what both ends send, and writes each call down.
pub(super) struct Wire {
    pub(super) script: Script,
    client: HeaderEncoder,
    server: HeaderEncoder,
}

pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PRIORITY: u8 = 32;

pub(super) type Fields<'a> = &'a [(&'a str, &'a str)];

pub(super) const GET: Fields<'_> = &[(":method", "GET"), (":scheme", "http"), (":path", "/a"), (":authority", "h:1")];

impl Wire {
    /// A connection seen from the server, behind the prefaces.
    pub(super) fn new() -> Self {
        Self::numbered(1)
    }

    /// As [`Self::new`], the connection with this number.
    pub(super) fn numbered(id: u64) -> Self {
        let mut wire = Self { script: Script::new(Role::Server, false, id), ..Self::bare(Role::Server, false) };
        let mut preface = frames::PREFACE.to_vec();
        frames::frame(frames::SETTINGS, 0, 0, &[], &mut preface);
        wire.script.bytes(">", &preface);
        wire.send("<", &[Self::settings()]);
        wire
    }

    /// A connection before its first byte.
    pub(super) fn bare(role: Role, attached: bool) -> Self {
        let script = Script::new(role, attached, 1);
        Self { script, client: HeaderEncoder::default(), server: HeaderEncoder::default() }
    }

    /// Writes a call that moves `parts`, one after the other.
    pub(super) fn send(&mut self, way: &str, parts: &[Vec<u8>]) {
        self.script.bytes(way, &parts.concat());
    }

    pub(super) fn settings() -> Vec<u8> {
        frame(frames::SETTINGS, 0, 0, &[])
    }

    /// A header block of the sender.
    pub(super) fn block(&mut self, way: &str, fields: Fields<'_>) -> Vec<u8> {
        let encoder = if way == ">" { &mut self.client } else { &mut self.server };
        let mut block = Vec::new();
        for (name, value) in fields {
            encoder.field(name, value, Style { indexed: true, huffman: value.len() > 4 }, &mut block);
        }
        block
    }

    /// A HEADERS frame with a whole block.
    pub(super) fn headers(&mut self, way: &str, stream: u32, end: bool, fields: Fields<'_>) -> Vec<u8> {
        let block = self.block(way, fields);
        frame(frames::HEADERS, frames::END_HEADERS | u8::from(end), stream, &block)
    }

    pub(super) fn request(&mut self, stream: u32, path: &str, end: bool) -> Vec<u8> {
        self.headers(">", stream, end, &[(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "h")])
    }

    pub(super) fn response(&mut self, stream: u32, status: &str, end: bool) -> Vec<u8> {
        self.headers("<", stream, end, &[(":status", status), ("server", "s")])
    }

    /// What is found, a line each.
    pub(super) fn found(&self) -> String {
        self.found_with(&Limits::default())
    }

    pub(super) fn found_with(&self, limits: &Limits) -> String {
        render(&run(&self.script.events, limits))
    }

    #[track_caller]
    pub(super) fn check(&self, expected: &str) {
        assert_lines(&self.found(), expected);
    }
}

#[track_caller]
pub(super) fn assert_lines(found: &str, expected: &str) {
    let lines = expected.lines().map(str::trim).filter(|line| !line.is_empty());
    let expected: String = lines.map(|line| format!("{line}\n")).collect();
    assert!(found == expected, "found:\n{found}\nexpected:\n{expected}");
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frames::frame(kind, flags, stream, payload, &mut bytes);
    bytes
}

pub(super) fn data(stream: u32, end: bool, len: usize) -> Vec<u8> {
    frame(frames::DATA, u8::from(end), stream, &vec![b'x'; len])
}

pub(super) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(frames::RST_STREAM, 0, stream, &code.to_be_bytes())
}
