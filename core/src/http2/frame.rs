//! Frame heads (RFC 9113, sections 4.1 and 6), and how bytes in the middle of a connection are told to be some.

/// The client's first bytes (RFC 9113, section 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const HEAD_BYTES: usize = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITY: u8 = 32;

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// An extension, to be ignored (section 5.5).
    Other,
}

impl Kind {
    const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::RstStream,
            4 => Self::Settings,
            5 => Self::PushPromise,
            6 => Self::Ping,
            7 => Self::GoAway,
            8 => Self::WindowUpdate,
            9 => Self::Continuation,
            _ => Self::Other,
        }
    }

    /// The number of the type; that of no type of RFC 9113 for [`Self::Other`].
    const fn number(self) -> u8 {
        match self {
            Self::Data => 0,
            Self::Headers => 1,
            Self::Priority => 2,
            Self::RstStream => 3,
            Self::Settings => 4,
            Self::PushPromise => 5,
            Self::Ping => 6,
            Self::GoAway => 7,
            Self::WindowUpdate => 8,
            Self::Continuation => 9,
            Self::Other => 0xff,
        }
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    /// Of the payload, in bytes.
    pub(crate) len: u32,
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    /// 0 for the connection.
    pub(crate) stream: u32,
}

impl FrameHead {
    pub(crate) const fn read(bytes: [u8; HEAD_BYTES]) -> Self {
        let [a, b, c, kind, flags, s, t, u, v] = bytes;
        let stream = u32::from_be_bytes([s & 0x7f, t, u, v]);
        Self { len: u32::from_be_bytes([0, a, b, c]), kind: Kind::from_number(kind), flags, stream }
    }

    /// The head as it is sent.
    pub(crate) const fn bytes(&self) -> [u8; HEAD_BYTES] {
        let ([_, a, b, c], [s, t, u, v]) = (self.len.to_be_bytes(), self.stream.to_be_bytes());
        [a, b, c, self.kind.number(), self.flags, s, t, u, v]
    }

    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether frames of this type have this stream and size.
    pub(crate) const fn is_sound(&self) -> bool {
        let (len, on_stream) = (self.len, self.stream != 0);
        match self.kind {
            Kind::Data | Kind::Headers | Kind::Continuation => on_stream,
            Kind::PushPromise => on_stream && len >= 4,
            Kind::Priority => on_stream && len == 5,
            Kind::RstStream => on_stream && len == 4,
            Kind::Settings => !on_stream && len.is_multiple_of(6) && (!self.has(ACK) || len == 0),
            Kind::Ping => !on_stream && len == 8,
            Kind::GoAway => !on_stream && len >= 8,
            Kind::WindowUpdate => len == 4,
            Kind::Other => true,
        }
    }

    /// Whether it is one that most peers would send. In the middle of a connection only these are taken for frames.
    const fn is_usual(&self) -> bool {
        let flags = match self.kind {
            Kind::Data => END_STREAM | PADDED,
            Kind::Headers => END_STREAM | END_HEADERS | PADDED | PRIORITY,
            Kind::Settings | Kind::Ping => ACK,
            Kind::PushPromise => END_HEADERS | PADDED,
            Kind::Continuation => END_HEADERS,
            Kind::Priority | Kind::RstStream | Kind::GoAway | Kind::WindowUpdate => 0,
            Kind::Other => return false,
        };
        // Zeros look like DATA of nothing, which nobody sends but to end a stream. Streams of even numbers are pushed.
        let on_stream = match self.kind {
            Kind::Data => self.stream % 2 == 1 && (self.len > 0 || self.has(END_STREAM)),
            Kind::Headers | Kind::Continuation | Kind::PushPromise => self.stream % 2 == 1,
            _ => true,
        };
        on_stream && self.flags & !flags == 0 && self.len <= USUAL_BYTES && self.is_sound()
    }
}

/// The largest frame that is taken for one in the middle of a connection. Peers allow 16 KiB unless they say otherwise,
/// and hardly more than 1 MiB.
const USUAL_BYTES: u32 = 1 << 20;

/// Whether a call that moved `len` bytes, of which `bytes` are the first, moved a chain of whole frames, or at least one
/// whole frame and the beginning of another.
pub(crate) fn is_chain(bytes: &[u8], len: u64) -> bool {
    let (mut at, mut whole) = (0u64, false);
    loop {
        if at == len {
            return whole;
        }
        let here = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let Some(head) = here.first_chunk().map(|&head| FrameHead::read(head)) else {
            // What comes here was not captured, or the call ends in the middle of a head.
            return whole;
        };
        let end = at + HEAD_BYTES as u64 + u64::from(head.len);
        if !head.is_usual() || end > len && !whole {
            return false;
        }
        if end > len {
            return true;
        }
        (at, whole) = (end, true);
    }
}

/// Whether `bytes` are the first of a server: its SETTINGS (section 3.4). `None` if they are too few to tell.
pub(crate) fn is_server_preface(bytes: &[u8]) -> Option<bool> {
    if let Some(&head) = bytes.first_chunk() {
        let head = FrameHead::read(head);
        return Some(matches!(head.kind, Kind::Settings) && head.is_usual() && head.len <= 600 && !head.has(ACK));
    }
    // Its length is below 2^16, and type, flags and stream are fixed.
    let begins = [0, 4, 0, 0, 0, 0, 0].into_iter().zip([0, 3, 4, 5, 6, 7, 8]);
    let fits = begins.into_iter().all(|(byte, at)| bytes.get(at).is_none_or(|&there| there == byte));
    if fits { None } else { Some(false) }
}

/// The name of an error code in lower case (section 7); `None` for one that is not known.
pub(crate) const fn error_name(code: u32) -> Option<&'static str> {
    Some(match code {
        0 => "no_error",
        1 => "protocol_error",
        2 => "internal_error",
        3 => "flow_control_error",
        4 => "settings_timeout",
        5 => "stream_closed",
        6 => "frame_size_error",
        7 => "refused_stream",
        8 => "cancel",
        9 => "compression_error",
        10 => "connect_error",
        11 => "enhance_your_calm",
        12 => "inadequate_security",
        13 => "http_1_1_required",
        _ => return None,
    })
}

pub(crate) const REFUSED_STREAM: u32 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_chain_of_frames() {
        const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        let twice = [PING, PING].concat();
        for (bytes, len, expected) in [
            (&PING[..], 17, true),
            (&twice, 34, true),
            // The second is cut off; the first alone is; a call ends in the middle of a head; only a head was captured.
            (&twice[..26], 30, true),
            (&PING, 16, false),
            (&twice[..20], 20, true),
            (&PING[..9], 17, true),
            (&PING[..8], 17, false),
            (&[0, 0, 8, 6, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], 17, false),
            (&[0, 0, 0, 0, 0, 0, 0, 0, 0], 9, false),
            (&[0, 0, 0, 0, 1, 0, 0, 0, 1], 9, true),
            (&[0, 0, 0, 0, 2, 0, 0, 0, 1], 9, false),
            (&[0, 0, 0, 0, 0, 0, 0, 0, 1], 9, false),
            (&[0, 0, 0, 0, 1, 0, 0, 0, 2], 9, false),
            (&[0, 0, 0, 10, 0, 0, 0, 0, 1], 9, false),
            (b"GET / HTTP/1.1\r\n\r\n", 18, false),
            (b"", 0, false),
        ] {
            assert_eq!(is_chain(bytes, len), expected, "{bytes:?} of {len}");
        }
    }

    #[test]
    fn what_a_server_sends_first() {
        let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100];
        assert_eq!(is_server_preface(&settings), Some(true));
        for len in 0..9 {
            assert_eq!(is_server_preface(&settings[..len]), None);
        }
        assert_eq!(is_server_preface(&[0, 0, 6, 3]), Some(false));
        assert_eq!(is_server_preface(b"HTTP"), Some(false));
        assert_eq!(is_server_preface(&[0, 0, 0, 4, 1, 0, 0, 0, 0]), Some(false));
    }
}
