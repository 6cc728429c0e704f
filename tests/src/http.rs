//! The least of an HTTP client: for asking servers of loopback.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use crate::Result;

const LIMIT: Duration = Duration::from_secs(30);

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The lines of the head.
    pub head: String,
    /// The body.
    pub body: String,
}

/// Asks for `path` on a port of loopback, with these lines more in the head, as in `Accept: text/plain`.
pub fn get(port: u16, path: &str, lines: &[&str]) -> Result<Answer> {
    request(port, "GET", path, lines)
}

/// The same by another method, without a body.
pub fn request(port: u16, method: &str, path: &str, lines: &[&str]) -> Result<Answer> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(LIMIT))?;
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    // By HTTP/1.0 an answer has no chunks, and ends with the connection.
    stream.write_all(format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n{lines}\r\n").as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| format!("no answer: {text:?}"))?;
    let status =
        head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| format!("no status: {head}"))?;
    Ok(Answer { status, head: head.into(), body: body.into() })
}

/// A text as it may stand in a query.
pub fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}
