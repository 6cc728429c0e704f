//! Which bytes of a payload are kept: every head, little of bodies.
//!
//! The bodies of HTTP/1 messages with a `Content-Length` are left out, but counted: telemetry asks for nothing in them.
//! Connections that speak HTTP/2 are kept as they are. Of whatever else there is the same is kept as a recorder keeps: the first
//! 8 KiB since the direction last turned, and of segments behind that both ends. Of TLS, beginnings of segments.

/// Which payload an import keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum KeptPayload {
    /// Heads, and what is needed to tell messages apart: enough for spans and metrics
    #[default]
    Heads,
    /// All that was captured
    All,
}

/// Bytes since a direction last turned that are kept of what has no known form.
const SINCE_TURN: u64 = 8 << 10;

/// Bytes that are kept at both ends of a segment behind those.
const ENDS: usize = 64;

/// A piece of a payload: its offset and its length.
pub(super) type Piece = (usize, usize);

/// What is known of what a connection carries.
#[derive(Debug, Default)]
pub(super) struct Kept {
    form: Form,
    /// The direction that moved bytes last.
    last: Option<usize>,
    directions: [Direction; 2],
    /// The head of a message was cut off.
    pub(super) cut_head: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    /// HTTP/1, as far as is known.
    #[default]
    Messages,
    /// TLS records.
    Tls,
    /// All of it is kept: HTTP/2, or a connection where a head alone does not tell a body's length.
    All,
}

#[derive(Debug, Default)]
struct Direction {
    at: At,
    /// Bytes since the direction last turned.
    since_turn: u64,
}

/// What comes next in a direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// A message.
    #[default]
    Start,
    /// So many bytes of a body.
    Body(u64),
    /// Something of unknown length.
    Unknown,
}

impl Kept {
    /// Whether the connection carries TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.form == Form::Tls
    }

    /// Bytes are missing in a direction.
    pub(super) fn pass(&mut self, direction: usize, missing: u64) {
        let Some(Direction { at, .. }) = self.directions.get_mut(direction) else { return };
        *at = match *at {
            At::Body(left) if left >= missing => At::Body(left - missing),
            At::Unknown => At::Unknown,
            _ => At::Start,
        };
    }

    /// Which parts of the next `len` bytes of a direction to keep, of which `captured` are there; the pieces go to `pieces`.
    pub(super) fn next(&mut self, direction: usize, captured: &[u8], len: u64, pieces: &mut Vec<Piece>) {
        pieces.clear();
        self.cut_head = false;
        let first = self.last.is_none();
        let turned = self.last.replace(direction) != Some(direction);
        let Some(state) = self.directions.get_mut(direction) else { return };
        if turned {
            state.since_turn = 0;
            if state.at == At::Unknown {
                state.at = At::Start;
            }
        }
        let before = state.since_turn;
        state.since_turn = before.saturating_add(len);
        if first && matches!(captured, [20..=24, 3, 0..=4, ..]) {
            self.form = Form::Tls;
        }
        match self.form {
            Form::All => pieces.push((0, captured.len())),
            Form::Tls => pieces.push((0, captured.len().min(ENDS))),
            Form::Messages => self.messages(direction, captured, len, before, pieces),
        }
    }

    fn messages(&mut self, direction: usize, captured: &[u8], len: u64, before: u64, pieces: &mut Vec<Piece>) {
        let Some(Direction { at, .. }) = self.directions.get_mut(direction) else { return };
        let mut from = 0_u64;
        while from < len {
            match *at {
                At::Body(left) => {
                    let here = left.min(len - from);
                    from += here;
                    *at = if left == here { At::Start } else { At::Body(left - here) };
                }
                At::Unknown => {
                    let from = usize::try_from(from).unwrap_or(usize::MAX);
                    return unknown(from, captured.len(), before, pieces);
                }
                At::Start => {
                    let start = usize::try_from(from).unwrap_or(usize::MAX);
                    let rest = captured.get(start..).unwrap_or_default();
                    match head(rest) {
                        Head::Complete { len: head, body } => {
                            pieces.push((start, head));
                            from += head as u64;
                            *at = body.map_or(At::Unknown, |body| if body == 0 { At::Start } else { At::Body(body) });
                        }
                        Head::Other => *at = At::Unknown,
                        Head::Cut => {
                            self.cut_head |= (captured.len() as u64) < len;
                            *at = At::Unknown;
                        }
                        Head::Last => {
                            self.form = Form::All;
                            return pieces.push((start, rest.len()));
                        }
                    }
                }
            }
        }
    }
}

/// What a recorder keeps of a call whose payload from `from` on has no known form.
fn unknown(from: usize, to: usize, before: u64, pieces: &mut Vec<Piece>) {
    let most = usize::try_from(SINCE_TURN.saturating_sub(before)).unwrap_or(usize::MAX);
    let kept = to.saturating_sub(from).min(most.max(ENDS));
    if kept > 0 {
        pieces.push((from, kept));
    }
    let tail = (from + kept).max(to.saturating_sub(ENDS));
    if to > tail {
        pieces.push((tail, to - tail));
    }
}

/// What stands where a message may begin.
#[derive(Debug, PartialEq, Eq)]
enum Head {
    /// The head of a message, so long, and how long the body is that follows; `None` if the head does not say.
    Complete { len: usize, body: Option<u64> },
    /// The beginning of a head.
    Cut,
    /// A message with which others than HTTP/1 messages may follow, or bodies as long as nothing says.
    Last,
    /// No head.
    Other,
}

/// Looks at the head of an HTTP/1 message. What makes its framing doubtful counts as of unknown length.
fn head(bytes: &[u8]) -> Head {
    let line = bytes.get(..bytes.len().min(16)).unwrap_or_default();
    let status = line.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5));
    let method = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    if status.is_none() && !is_method(method) {
        return Head::Other;
    }
    if matches!(method, b"HEAD" | b"CONNECT" | b"PRI") || status == Some(b"101") {
        return Head::Last;
    }
    let (mut length, mut doubtful, mut end) = (None, false, 0);
    loop {
        let rest = bytes.get(end..).unwrap_or_default();
        let Some(len) = memchr::memchr(b'\n', rest) else { return Head::Cut };
        end += len + 1;
        // What ends otherwise is nothing to be sure of.
        let Some(line) = rest.get(..len).and_then(|line| line.strip_suffix(b"\r")) else { return Head::Other };
        match line.first() {
            None => break,
            // The names that matter begin with one of these letters.
            Some(b'C' | b'c') => {
                if let Some(value) = value_of(line, b"content-length:") {
                    let said = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<u64>().ok());
                    doubtful |= said.is_none() || length.is_some_and(|length| Some(length) != said);
                    length = said;
                }
            }
            Some(b'T' | b't') => doubtful |= value_of(line, b"transfer-encoding:").is_some(),
            _ => {}
        }
    }
    let bodiless =
        status.map_or(length.is_none(), |status| status.starts_with(b"1") || matches!(status, b"204" | b"304"));
    let body = match length {
        _ if doubtful => None,
        _ if bodiless => Some(0),
        length => length,
    };
    Head::Complete { len: end, body }
}

fn is_method(word: &[u8]) -> bool {
    const METHODS: [&[u8]; 10] =
        [b"CONNECT", b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PATCH", b"POST", b"PRI", b"PUT", b"TRACE"];
    METHODS.contains(&word)
}

/// The value of a field line, if it has this name.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(rest)
}

/// Who sent these first bytes of a direction, if they tell: `true` for a client.
pub(super) fn is_of_client(bytes: &[u8]) -> Option<bool> {
    match head(bytes) {
        Head::Other => None,
        _ => Some(!bytes.starts_with(b"HTTP/1.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is kept of segments: `>` from the client, `<` from the server.
    #[track_caller]
    fn check(segments: &[(char, &str)], expected: &[&str]) {
        let (mut kept, mut pieces) = (Kept::default(), Vec::new());
        for ((from, bytes), expected) in segments.iter().zip(expected) {
            kept.next(usize::from(*from == '<'), bytes.as_bytes(), bytes.len() as u64, &mut pieces);
            let found: Vec<_> = pieces.iter().map(|(at, len)| &bytes[*at..at + len]).collect();
            assert_eq!(found.concat(), *expected, "{from} {bytes}");
        }
    }

    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn bodies_of_known_length_are_left_out() {
        let post = "POST /p HTTP/1.1\r\ncontent-length: 5\r\n\r\n";
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
        let both = format!("{answer}abcd{answer}ab");
        check(&[('>', GET), ('<', &format!("{answer}body")), ('>', GET)], &[GET, answer, GET]);
        check(&[('>', post), ('>', "he"), ('>', &format!("llo{GET}"))], &[post, "", GET]);
        check(
            &[('>', &format!("{GET}{GET}")), ('<', &both), ('<', &format!("cd{answer}"))],
            &[&format!("{GET}{GET}"), &format!("{answer}{answer}"), answer],
        );
    }

    #[test]
    fn bodies_of_unknown_length_are_kept() {
        let head_request = "HEAD / HTTP/1.1\r\n\r\n";
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let until_close = "HTTP/1.0 200 OK\r\n\r\nbody";
        let no_body =
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        let doubtful = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd";
        let upgrade = "HTTP/1.1 101 Switching Protocols\r\n\r\nanything";
        for answer in [chunked, until_close, no_body, doubtful, upgrade] {
            check(
                &[('>', GET), ('<', answer), ('<', "more")],
                &[GET, answer, if answer == no_body { "re" } else { "more" }],
            );
        }
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        check(&[('>', head_request), ('<', answer), ('<', answer)], &[head_request, answer, answer]);
        check(&[('>', "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ('<', "xyz")], &["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "xyz"]);
    }

    #[test]
    fn of_anything_else_the_beginning_and_both_ends_are_kept() {
        let large = "x".repeat(9000);
        let (mut kept, mut pieces) = (Kept::default(), Vec::new());
        kept.next(0, large.as_bytes(), 9000, &mut pieces);
        assert_eq!(pieces, [(0, 8192), (8936, 64)]);
        kept.next(0, large.as_bytes(), 9000, &mut pieces);
        assert_eq!(pieces, [(0, 64), (8936, 64)]);
        kept.next(1, b"y", 1, &mut pieces);
        kept.next(0, large.as_bytes(), 9000, &mut pieces);
        assert_eq!(pieces, [(0, 8192), (8936, 64)], "the direction has turned");
    }

    #[test]
    fn of_tls_only_beginnings_are_kept() {
        let (mut kept, mut pieces) = (Kept::default(), Vec::new());
        kept.next(0, &[&[22, 3, 1, 2, 0][..], &[0; 500]].concat(), 505, &mut pieces);
        assert_eq!((kept.is_tls(), &pieces[..]), (true, &[(0, 64)][..]));
    }

    #[test]
    fn a_head_that_was_not_captured_wholly_is_told() {
        let (mut kept, mut pieces) = (Kept::default(), Vec::new());
        kept.next(0, &GET.as_bytes()[..20], GET.len() as u64, &mut pieces);
        assert!(kept.cut_head);
        assert_eq!(pieces, [(0, 20)]);
    }
}
