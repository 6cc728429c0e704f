//! A small encoder of HTTP/2: frames, and header blocks with the dynamic table in use.

use std::collections::VecDeque;

use crate::http2::hpack::{STATIC_FIELDS, integer, string};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

/// Appends a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&len[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The encoder of one direction, with a dynamic table of 4096 bytes.
#[derive(Debug, Default)]
pub(crate) struct HeaderEncoder {
    /// The newest first.
    table: VecDeque<(String, String)>,
    bytes: usize,
}

/// How a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// Whether it enters the dynamic table.
    pub(crate) indexed: bool,
    pub(crate) huffman: bool,
}

const TABLE_BYTES: usize = 4096;

impl HeaderEncoder {
    /// Appends a field to a block.
    pub(crate) fn field(&mut self, name: &str, value: &str, style: Style, out: &mut Vec<u8>) {
        let fixed = STATIC_FIELDS.iter().copied();
        let known =
            || fixed.clone().chain(self.table.iter().map(|(name, value)| (name.as_str(), value.as_str()))).zip(1..);
        if let Some((_, index)) = known().find(|&(field, _)| field == (name, value)) {
            return integer(index, 7, 0x80, out);
        }
        let (prefix, first) = if style.indexed { (6, 0x40) } else { (4, 0) };
        match known().find(|&((other, _), _)| other == name) {
            Some((_, index)) => integer(index, prefix, first, out),
            None => {
                out.push(first);
                string(name.as_bytes(), style.huffman, out);
            }
        }
        string(value.as_bytes(), style.huffman, out);
        if style.indexed {
            self.insert(name, value);
        }
    }

    fn insert(&mut self, name: &str, value: &str) {
        let size = |name: &str, value: &str| name.len() + value.len() + 32;
        self.bytes += size(name, value);
        self.table.push_front((name.to_owned(), value.to_owned()));
        while self.bytes > TABLE_BYTES
            && let Some((name, value)) = self.table.pop_back()
        {
            self.bytes -= size(&name, &value);
        }
    }
}
