//! Reads message heads: the start line and the few fields that framing and telemetry need (RFC 9112, sections 2 to 6).
//!
//! Lenient where it is safe (a bare LF ends a line, empty lines may come first), strict where two readers could
//! disagree on where a message ends: such a head has a `fault`.

use memchr::{memchr, memchr2};

use crate::diagnostic::DiagnosticKind;
use crate::exchange::Version;
use crate::track::{METHOD_BYTES, is_target_start, is_token};

/// The first line of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartLine<'a> {
    Request { method: &'a [u8], target: &'a [u8], version: Version },
    Status { status: u16, version: Version },
}

/// The fields of a head that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields<'a> {
    pub(crate) host: Option<&'a [u8]>,
    pub(crate) user_agent: Option<&'a [u8]>,
    pub(crate) traceparent: Option<&'a [u8]>,
    pub(crate) upgrade: Option<&'a [u8]>,
    pub(crate) length: Option<u64>,
    pub(crate) coding: Coding,
    /// What makes the head or the length of its message unreadable.
    pub(crate) fault: Option<DiagnosticKind>,
}

/// What `Transfer-Encoding` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Coding {
    /// There is none.
    #[default]
    Absent,
    /// `chunked` is the final coding.
    Chunked,
    /// `chunked` is not the final coding.
    Other,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By its length.
    Length(u64),
    /// By its chunks.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// A head, or as much of it as there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) start: StartLine<'a>,
    pub(crate) fields: Fields<'a>,
    /// The bytes up to and with the empty line; `None` if that is not there.
    pub(crate) len: Option<usize>,
    /// Reading stopped, because there were too many lines.
    pub(crate) too_many_lines: bool,
}

impl<'a> Head<'a> {
    /// Reads the head that begins with the first of `bytes`. `None` if its start line is not complete; fails with the
    /// kind of trouble.
    pub(crate) fn read(bytes: &'a [u8], max_lines: usize) -> Result<Option<Self>, DiagnosticKind> {
        let mut lines = Lines { bytes, at: 0 };
        let Some(first) = lines.next_line()? else { return Ok(None) };
        let start = StartLine::read(first).ok_or(DiagnosticKind::MalformedHead)?;
        let mut fields = Fields::default();
        let mut last = Field::None;
        let mut room = max_lines;
        let len = loop {
            match lines.next_line() {
                Err(fault) => {
                    fields.fault = Some(fault);
                    break None;
                }
                Ok(None) => break None,
                Ok(Some([])) => break Some(lines.at),
                Ok(Some(_)) if room == 0 => {
                    return Ok(Some(Self { start, fields, len: None, too_many_lines: true }));
                }
                Ok(Some(line)) => last = fields.take(line, last),
            }
            room -= 1;
        };
        Ok(Some(Self { start, fields, len, too_many_lines: false }))
    }

    /// How the end of the message's body is found; `bodiless` says that there is none whatever the fields say.
    pub(crate) fn framing(&self, bodiless: bool) -> Result<Framing, DiagnosticKind> {
        let fields = &self.fields;
        if let Some(fault) = fields.fault {
            return Err(fault);
        }
        let (request, version) = match self.start {
            StartLine::Request { version, .. } => (true, version),
            StartLine::Status { version, .. } => (false, version),
        };
        match (fields.coding, fields.length) {
            _ if bodiless => Ok(Framing::Length(0)),
            (Coding::Absent, Some(length)) => Ok(Framing::Length(length)),
            (Coding::Absent, None) if request => Ok(Framing::Length(0)),
            (Coding::Absent, None) => Ok(Framing::UntilClose),
            (_, Some(_)) => Err(DiagnosticKind::AmbiguousLength),
            (_, None) if version == Version::Http10 => Err(DiagnosticKind::AmbiguousLength),
            (Coding::Chunked, None) => Ok(Framing::Chunked),
            (Coding::Other, None) if request => Err(DiagnosticKind::AmbiguousLength),
            (Coding::Other, None) => Ok(Framing::UntilClose),
        }
    }
}

impl<'a> StartLine<'a> {
    fn read(line: &'a [u8]) -> Option<Self> {
        if let Some(rest) = line.strip_prefix(b"HTTP/1.") {
            let (&[minor, space, a, b, c], reason) = rest.split_first_chunk::<5>()?;
            let digits = [a, b, c].iter().all(u8::is_ascii_digit) && a != b'0';
            if !minor.is_ascii_digit() || space != b' ' || !digits || reason.first().is_some_and(|&byte| byte != b' ') {
                return None;
            }
            let status = [a, b, c].iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
            return Some(Self::Status { status, version: version(minor) });
        }
        let (rest, &[b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor]) = line.split_last_chunk()? else {
            return None;
        };
        let (method, rest) = split_token(rest);
        let [b' ', target @ ..] = rest else { return None };
        let method_fits = (1..=METHOD_BYTES).contains(&method.len());
        let target_fits = target.first().is_some_and(|&byte| is_target_start(byte));
        (method_fits && target_fits && minor.is_ascii_digit()).then_some(Self::Request {
            method,
            target,
            version: version(minor),
        })
    }
}

/// HTTP/1.2 and above would be read as 1.1 (RFC 9110, section 2.5).
const fn version(minor: u8) -> Version {
    if minor == b'0' { Version::Http10 } else { Version::Http11 }
}

/// The field that a line had, for the lines that continue it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    None,
    Framing,
    Other,
}

impl<'a> Fields<'a> {
    /// Takes a header line in.
    fn take(&mut self, line: &'a [u8], before: Field) -> Field {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            // Readers disagree on folded lines (RFC 9112, section 5.2); elsewhere what is folded is left out.
            match before {
                Field::None => self.blame(DiagnosticKind::MalformedHead),
                Field::Framing => self.blame(DiagnosticKind::AmbiguousLength),
                Field::Other => {}
            }
            return before;
        }
        let (name @ [_, ..], [b':', value @ ..]) = split_token(line) else {
            self.blame(DiagnosticKind::MalformedHead);
            return Field::Other;
        };
        let slot = match name.len() {
            4 if is(name, b"Host") => &mut self.host,
            7 if is(name, b"Upgrade") => &mut self.upgrade,
            10 if is(name, b"User-Agent") => &mut self.user_agent,
            11 if is(name, b"traceparent") => &mut self.traceparent,
            14 if is(name, b"Content-Length") => {
                self.take_length(trim(value));
                return Field::Framing;
            }
            17 if is(name, b"Transfer-Encoding") => {
                self.take_coding(trim(value));
                return Field::Framing;
            }
            _ => return Field::Other,
        };
        slot.get_or_insert(trim(value));
        Field::Other
    }

    /// `Content-Length` (RFC 9112, section 6.3): the same number several times is one number.
    fn take_length(&mut self, value: &[u8]) {
        for item in value.split(|&byte| byte == b',') {
            match decimal(trim(item)) {
                Some(length) if self.length.is_none_or(|before| before == length) => self.length = Some(length),
                _ => self.blame(DiagnosticKind::AmbiguousLength),
            }
        }
    }

    /// `Transfer-Encoding` (RFC 9112, section 6.1): nothing may come behind `chunked`.
    fn take_coding(&mut self, value: &[u8]) {
        for item in value.split(|&byte| byte == b',') {
            let item = trim(item);
            if self.coding == Coding::Chunked || item.is_empty() || !item.iter().all(|&byte| is_coding(byte)) {
                self.blame(DiagnosticKind::AmbiguousLength);
            }
            let chunked = item.eq_ignore_ascii_case(b"chunked");
            self.coding = if chunked { Coding::Chunked } else { Coding::Other };
        }
    }

    fn blame(&mut self, kind: DiagnosticKind) {
        self.fault.get_or_insert(kind);
    }
}

/// The token that `bytes` begin with, and what follows it. This is one pass both to find a name's end and to check it.
#[inline]
fn split_token(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|&byte| !is_token(byte)).unwrap_or(bytes.len());
    bytes.split_at(end)
}

/// Whether it is this field name, which is nearly always spelled like this; the comparison that ignores case costs more.
#[inline]
fn is<const N: usize>(name: &[u8], usual: &[u8; N]) -> bool {
    name == usual || name.eq_ignore_ascii_case(usual)
}

/// A transfer coding may have parameters.
const fn is_coding(byte: u8) -> bool {
    is_token(byte) || matches!(byte, b';' | b'=' | b'"' | b' ' | b'\t')
}

/// Where the head that begins with the first of `bytes` ends, if it does behind `from`.
pub(crate) fn find_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let rest = bytes.get(at..)?;
        at += memchr(b'\n', rest)? + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
}

/// The lines of a head, without their ends.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    /// The next line that is complete. A CR that does not end a line is refused: some readers take it for a line's end.
    fn next_line(&mut self) -> Result<Option<&'a [u8]>, DiagnosticKind> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        // The empty line, which every head has, needs no search.
        let end = if matches!(rest, [b'\r' | b'\n', ..]) { Some(0) } else { memchr2(b'\r', b'\n', rest) };
        let Some(end) = end else { return Ok(None) };
        let ending = match rest.get(end..) {
            Some([b'\n', ..]) => 1,
            Some([b'\r', b'\n', ..]) => 2,
            Some([b'\r']) | None => return Ok(None),
            Some(_) => return Err(DiagnosticKind::MalformedHead),
        };
        self.at += end + ending;
        Ok(rest.get(..end))
    }
}

/// Without the white space around it.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// A number of decimal digits alone.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
