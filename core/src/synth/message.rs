//! One HTTP/1 message as bytes, with what is true of it.

use std::fmt::Write as _;

use super::rng::Rng;

/// A message ready to be sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Bytes {
    /// Head and framed body.
    pub(super) bytes: Vec<u8>,
    /// How many of them are the head.
    pub(super) head: usize,
    /// Bytes of the body without framing.
    pub(super) size: u64,
}

/// How the end of a body is told (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is no body, and no header that speaks of one.
    None,
    /// No body, but a `Content-Length` of what there would be (HEAD, 304).
    Announced(u64),
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked(u64),
    /// The body ends with the connection.
    Close(u64),
}

/// Puts a message together line by line.
pub(super) struct Composer<'a> {
    rng: &'a mut Rng,
    text: String,
    line_end: &'static str,
    /// Whether bodies look like messages.
    lures: bool,
}

impl<'a> Composer<'a> {
    /// Starts with the request line or status line.
    pub(super) fn new(rng: &'a mut Rng, start_line: &str, line_end: &'static str, lures: bool) -> Self {
        let text = format!("{start_line}{line_end}");
        Self { rng, text, line_end, lures }
    }

    /// Adds a header.
    pub(super) fn header(&mut self, name: &str, value: &str) {
        // Field names are case-insensitive (RFC 9110, section 5.1), and white space around values is optional.
        let name = if self.rng.chance(100) { name.to_ascii_lowercase() } else { name.to_owned() };
        let space = if self.rng.chance(50) { "" } else { " " };
        self.text.push_str(&format!("{name}:{space}{value}{}", self.line_end));
    }

    /// Adds some of the headers that real traffic carries, cookies among them.
    pub(super) fn filler(&mut self) {
        for _ in 0..self.rng.below(4) {
            let number = self.rng.bits();
            let long = self.rng.between(1, 400) as usize;
            match number % 5 {
                0 => self.header("Cookie", &format!("session={number:016x}; theme={}", "d".repeat(long))),
                1 => self.header("X-Request-Id", &format!("{number:032x}")),
                2 => self.header("Accept-Encoding", "gzip, deflate"),
                3 => self.header("X-Forwarded-For", "198.51.100.7, 203.0.113.9"),
                _ => self.header("X-Empty", ""),
            }
        }
    }

    /// Ends the head and adds a body.
    pub(super) fn finish(mut self, framing: Framing) -> Bytes {
        let size = match framing {
            Framing::None => 0,
            Framing::Announced(size) | Framing::Length(size) => {
                self.header("Content-Length", &size.to_string());
                if matches!(framing, Framing::Length(_)) { size } else { 0 }
            }
            Framing::Chunked(size) => {
                self.header("Transfer-Encoding", "chunked");
                size
            }
            Framing::Close(size) => size,
        };
        self.text.push_str(self.line_end);
        let head = self.text.len();
        let mut bytes = self.text.into_bytes();
        let texts = if self.lures { &LURES } else { &TEXTS };
        match framing {
            Framing::Chunked(_) => chunked(self.rng, texts, size, &mut bytes),
            Framing::Length(_) | Framing::Close(_) => body(self.rng, texts, size, &mut bytes),
            Framing::None | Framing::Announced(_) => {}
        }
        Bytes { bytes, head, size }
    }
}

/// Body text.
const TEXTS: [&str; 3] = [
    "{\"items\":[{\"id\":1,\"name\":\"item\"},",
    "Name: value\r\n",
    "lorem ipsum dolor sit amet, consectetur adipiscing elit ",
];
/// Body text that looks like messages, to lead a parser astray that looks for heads where none can be.
pub(super) const LURES: [&str; 3] = [
    "\r\n\r\nGET /phantom HTTP/1.1\r\nHost: phantom\r\n\r\n",
    "HTTP/1.1 500 Phantom\r\nContent-Length: 0\r\n\r\n",
    "0\r\n\r\n",
];

fn body(rng: &mut Rng, texts: &[&str], size: u64, out: &mut Vec<u8>) {
    let end = out.len() + size as usize;
    while out.len() < end {
        out.extend_from_slice(rng.pick(texts).as_bytes());
    }
    out.truncate(end);
}

/// A chunked body (RFC 9112, section 7.1), sometimes with chunk extensions and trailers.
fn chunked(rng: &mut Rng, texts: &[&str], size: u64, out: &mut Vec<u8>) {
    let mut left = size;
    while left > 0 {
        let chunk = rng.between(1, left.min(6000));
        let mut line = String::new();
        let written = match rng.below(4) {
            0 => write!(line, "{chunk:X}"),
            1 => write!(line, "{chunk:04x};name=\"value\""),
            _ => write!(line, "{chunk:x}"),
        };
        written.expect("invariant: a String can be written to");
        line.push_str("\r\n");
        out.extend_from_slice(line.as_bytes());
        body(rng, texts, chunk, out);
        out.extend_from_slice(b"\r\n");
        left -= chunk;
    }
    out.extend_from_slice(b"0\r\n");
    if rng.chance(200) {
        out.extend_from_slice(b"X-Checksum: 4f1a\r\nContent-Length: 99\r\n");
    }
    out.extend_from_slice(b"\r\n");
}
