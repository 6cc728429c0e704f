//! The framing of chunked bodies (RFC 9112, section 7.1), followed without keeping any of the data.

use memchr::{memchr, memmem};

/// Where in a chunked body a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunked {
    phase: Phase,
    /// Data bytes of all chunks begun so far.
    total: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// In a chunk's size; the number of digits so far. The value is in the variant, too.
    Size(u64, u8),
    /// Behind the size, before the line's end: extensions, which are skipped.
    Extension(u64),
    /// That many data bytes follow.
    Data(u64),
    /// The line end behind the data: `\r` may have come.
    DataEnd,
    /// At the beginning of a trailer line, or of the empty line that ends the body.
    Trailer,
    /// Behind a `\r` at the beginning of a trailer line.
    TrailerCr,
    /// In a trailer line.
    TrailerLine,
}

/// What a byte of a chunked body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The first of so many bytes of data.
    Data(u64),
    /// A part of a size, or of a line's end.
    Framing,
    /// A part of an extension, of a trailer line, or of its end.
    Text,
}

/// How far a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// All bytes were used and the body goes on.
    More,
    /// The body ended behind that many bytes.
    Done(usize),
    /// The framing is broken.
    Broken,
}

impl Chunked {
    pub(crate) const START: Self = Self { phase: Phase::Size(0, 0), total: 0 };

    /// Data bytes of all chunks begun so far.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// Data bytes received so far.
    pub(crate) const fn received(&self) -> u64 {
        match self.phase {
            Phase::Data(left) => self.total - left,
            _ => self.total,
        }
    }

    /// How many bytes follow at least: the data of the current chunk and the last chunk, or what is left of it.
    pub(crate) const fn min_rest(&self) -> u64 {
        match self.phase {
            Phase::Data(left) => left.saturating_add(7),
            Phase::Size(..) | Phase::Extension(_) | Phase::DataEnd => 5,
            Phase::Trailer | Phase::TrailerCr | Phase::TrailerLine => 1,
        }
    }

    /// What the next byte is.
    pub(crate) const fn next(&self) -> Next {
        match self.phase {
            Phase::Data(left) => Next::Data(left),
            Phase::Extension(_) | Phase::TrailerLine | Phase::Trailer => Next::Text,
            Phase::Size(..) | Phase::DataEnd | Phase::TrailerCr => Next::Framing,
        }
    }

    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Step {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..)
            && let Some(&byte) = rest.first()
        {
            at += match self.phase {
                Phase::Data(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    self.take_data(here as u64);
                    here
                }
                Phase::Extension(_) | Phase::TrailerLine => match memchr(b'\n', rest) {
                    None => return Step::More,
                    Some(end) => {
                        self.line_ended();
                        end + 1
                    }
                },
                Phase::Trailer | Phase::TrailerCr if byte == b'\n' => return Step::Done(at + 1),
                _ => match self.step(byte) {
                    Some(phase) => {
                        self.phase = phase;
                        1
                    }
                    None => return Step::Broken,
                },
            };
        }
        Step::More
    }

    /// Passes over data bytes that nobody has. False if the gap goes beyond the data of the current chunk.
    pub(crate) fn skip(&mut self, count: u64) -> bool {
        let fits = matches!(self.phase, Phase::Data(left) if count <= left);
        if fits {
            self.take_data(count);
        }
        fits
    }

    fn take_data(&mut self, count: u64) {
        if let Phase::Data(left) = self.phase {
            self.phase = if left == count { Phase::DataEnd } else { Phase::Data(left - count) };
        }
    }

    fn line_ended(&mut self) {
        self.phase = match self.phase {
            Phase::Extension(size) => self.begin(size),
            _ => Phase::Trailer,
        };
    }

    fn begin(&mut self, size: u64) -> Phase {
        self.total = self.total.saturating_add(size);
        if size == 0 { Phase::Trailer } else { Phase::Data(size) }
    }

    /// The phase behind `byte`, for phases that go byte by byte.
    fn step(&mut self, byte: u8) -> Option<Phase> {
        match (self.phase, byte) {
            (Phase::Size(size, digits), _) => match char::from(byte).to_digit(16) {
                Some(digit) if digits < 16 && size >> 60 == 0 => {
                    Some(Phase::Size(size << 4 | u64::from(digit), digits + 1))
                }
                Some(_) => None,
                None if digits == 0 => None,
                None if byte == b'\n' => Some(self.begin(size)),
                None => matches!(byte, b'\r' | b';' | b' ' | b'\t').then_some(Phase::Extension(size)),
            },
            (Phase::DataEnd, b'\r') => Some(Phase::DataEnd),
            (Phase::DataEnd, b'\n') => Some(Phase::Size(0, 0)),
            (Phase::Trailer, b'\r') => Some(Phase::TrailerCr),
            (Phase::Trailer, _) => Some(Phase::TrailerLine),
            _ => None,
        }
    }
}

/// Whether `tail`, the last bytes that one call moved, reads as the end of a chunked body: the last chunk, trailer
/// lines if any, an empty line. `whole` says that the call moved nothing else.
pub(crate) fn ends_body(tail: &[u8], whole: bool) -> bool {
    let trailers = match memmem::rfind(tail, b"\r\n0\r\n") {
        Some(at) => tail.get(at + 5..),
        None if whole => tail.strip_prefix(b"0\r\n"),
        None => None,
    };
    let Some(trailers) = trailers else { return false };
    trailers == b"\r\n"
        || trailers.strip_suffix(b"\r\n\r\n").is_some_and(|lines| {
            !lines.is_empty() && lines.split(|&byte| byte == b'\n').all(|line| memchr(b':', line).is_some())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_split_of_a_body_ends_at_the_same_byte() {
        for body in [
            &b"0\r\n\r\n"[..],
            b"5\r\nhello\r\n0\r\n\r\n",
            b"5;a=b;c=\"d\"\r\nhello\r\nA\r\n0123456789\r\n0\r\nX: y\r\nZ:\r\n\r\n",
            b"5\nhello\n0\n\n",
            b"005 \r\nhello\r\n000\r\n\r\n",
        ] {
            for split in 0..body.len() {
                let mut chunked = Chunked::START;
                assert_eq!(chunked.feed(&body[..split]), Step::More);
                let rest = [&body[split..], b"GET"].concat();
                assert_eq!(chunked.feed(&rest), Step::Done(body.len() - split), "{}", body.escape_ascii());
            }
        }
    }

    #[test]
    fn broken_framing_is_refused() {
        for body in
            [&b"\r\n"[..], b"g\r\n", b"-1\r\n", b"0x5\r\n", b"5\r\nhello!\r\n", b"11111111111111111\r\n", b";a\r\n"]
        {
            let mut chunked = Chunked::START;
            assert_eq!(chunked.feed(body), Step::Broken, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn a_gap_within_the_data_of_a_chunk_is_passed() {
        let mut chunked = Chunked::START;
        assert_eq!(chunked.feed(b"100\r\nab"), Step::More);
        assert!(!chunked.skip(255));
        assert!(chunked.skip(254));
        assert_eq!(chunked.feed(b"\r\n0\r\n\r\n"), Step::Done(7));
        assert_eq!(chunked.total(), 256);
    }

    #[test]
    fn the_tail_of_a_call_ends_a_body() {
        for (tail, whole, expected) in [
            (&b"xyz\r\n0\r\n\r\n"[..], false, true),
            (b"0\r\n\r\n", true, true),
            (b"0\r\n\r\n", false, false),
            (b"10\r\n\r\n", false, false),
            (b"x\r\n0\r\nExpires: never\r\n\r\n", false, true),
            (b"x\r\n0\r\nExpires: never\r\n", false, false),
            (b"x\r\n0\r\nnot a trailer\r\n\r\n", false, false),
            (b"", true, false),
        ] {
            assert_eq!(ends_body(tail, whole), expected, "{}", tail.escape_ascii());
        }
    }
}
