//! Which protocol a connection speaks, told by the first bytes of a message.

use crate::http2::is_server_preface;

/// What the first bytes of a call look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detected {
    /// An HTTP/1 request.
    Request,
    /// An HTTP/1 response.
    Response,
    /// The client's connection preface of HTTP/2 (RFC 9113, section 3.4).
    Http2,
    /// The SETTINGS that an HTTP/2 server sends first.
    Http2Server,
    /// A TLS record (RFC 8446, section 5.1).
    Tls,
    /// Nothing known here.
    Unknown,
    /// Too few bytes to tell.
    Short,
}

/// The longest method that is taken for one.
pub(crate) const METHOD_BYTES: usize = 32;

const STATUS_LINE: &[u8] = b"HTTP/1.";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Looks at the first bytes of a message; `METHOD_BYTES + 4` bytes are always enough.
pub(crate) fn detect(bytes: &[u8]) -> Detected {
    let blank = bytes.iter().take_while(|&&byte| byte == b'\r' || byte == b'\n').count().min(4);
    let bytes = bytes.get(blank..).unwrap_or_default();
    match bytes {
        [20..=24, 3, 0..=4, ..] => return Detected::Tls,
        [0, ..] => {
            return match is_server_preface(bytes) {
                Some(true) => Detected::Http2Server,
                Some(false) => Detected::Unknown,
                None => Detected::Short,
            };
        }
        [] | [20..=24] | [20..=24, 3] => return Detected::Short,
        _ => {}
    }
    for (start, found) in [(STATUS_LINE, Detected::Response), (PREFACE, Detected::Http2)] {
        if bytes.starts_with(start) {
            return found;
        }
        if start.starts_with(bytes) {
            return Detected::Short;
        }
    }
    let method = bytes.iter().take(METHOD_BYTES + 1).take_while(|&&byte| is_token(byte)).count();
    match (bytes.get(method), bytes.get(method + 1)) {
        _ if method > METHOD_BYTES => Detected::Unknown,
        (None, _) => Detected::Short,
        (Some(b' '), None) if method > 0 => Detected::Short,
        (Some(b' '), Some(target)) if method > 0 && is_target_start(*target) => Detected::Request,
        _ => Detected::Unknown,
    }
}

/// Whether this is one of the methods of RFC 9110, section 9.3, and RFC 5789. Behind lost bytes only these are taken for
/// the beginning of a request: what is left of a method that was cut in two is a token as well.
pub(crate) fn is_usual_method(method: &[u8]) -> bool {
    const USUAL: [&[u8]; 9] = [b"CONNECT", b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PATCH", b"POST", b"PUT", b"TRACE"];
    USUAL.contains(&method)
}

/// Whether a request target can begin with this byte: a path, `*`, a URI or an authority (RFC 9112, section 3.2).
pub(crate) const fn is_target_start(byte: u8) -> bool {
    matches!(byte, b'/' | b'*' | b'[') || byte.is_ascii_alphanumeric()
}

/// A byte of a token (RFC 9110, section 5.6.2).
#[inline]
pub(crate) const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_method_is_no_usual_method() {
        for method in ["GET", "HEAD", "OPTIONS", "DELETE", "CONNECT", "PATCH", "POST", "PUT", "TRACE"] {
            assert!(is_usual_method(method.as_bytes()));
            assert!((1..method.len()).all(|at| !is_usual_method(&method.as_bytes()[at..])), "{method}");
        }
    }

    #[test]
    fn first_bytes_tell_the_protocol() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\n"[..], Detected::Request),
            (b"\r\nOPTIONS * HTTP/1.1\r\n", Detected::Request),
            (b"CONNECT example.com:443 HTTP/1.1", Detected::Request),
            (b"GET http://a/ HTTP/1.1", Detected::Request),
            (b"G", Detected::Short),
            (b"GET ", Detected::Short),
            (b"GET \x01", Detected::Unknown),
            (b"HTTP/1.1 200 OK", Detected::Response),
            (b"HTTP/1", Detected::Short),
            (b"HTTP /x HTTP/1.1", Detected::Request),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Detected::Http2),
            (b"PR", Detected::Short),
            (b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03", Detected::Http2Server),
            (b"\x00\x00\x06\x04", Detected::Short),
            (b"\x00\x00\x06\x05", Detected::Unknown),
            (b"PRI * HTTP/1.1\r\n", Detected::Request),
            (b"\x16\x03\x01\x02\x00", Detected::Tls),
            (b"\x16", Detected::Short),
            (b"\x16\x04", Detected::Unknown),
            (b"*1\r\n$4\r\nPING\r\n", Detected::Unknown),
            (b"PING\r\n", Detected::Unknown),
            (b" GET / HTTP/1.1", Detected::Unknown),
            (b"", Detected::Short),
            (&[b'A'; 33], Detected::Unknown),
        ] {
            assert_eq!(detect(bytes), expected, "{:?}", bytes.escape_ascii().to_string());
        }
    }
}
