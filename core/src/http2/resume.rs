//! What a reader that joins a connection here has to be told of the time before: the dynamic tables, and the frame that each
//! direction is in the middle of. Told in HTTP/2's own words, as bytes in front of what is to come.
//!
//! The table comes as the header block of a PUSH_PROMISE frame: of all that has a header block, that alone begins no exchange.

use super::frame::{END_HEADERS, FrameHead, HEAD_BYTES, Kind, PREFACE};
use super::half::{Half, State};
use super::parser::Http2;
use super::streams::Begin;

/// What one direction begins with.
#[derive(Clone, Debug)]
pub(crate) struct Prefix {
    /// Frames that give a reader the dynamic table. They end where `frame` begins, or where the stream goes on.
    pub(crate) frames: Vec<u8>,
    pub(crate) frame: Option<Unfinished>,
    /// All of the table is told.
    pub(crate) whole: bool,
    /// Nothing is under way and nothing unknown: the connection begins anew.
    pub(crate) anew: bool,
}

/// The beginning of a frame, up to where the stream goes on.
#[derive(Clone, Debug)]
pub(crate) struct Unfinished {
    /// Where, when and by whom it was begun.
    pub(crate) begin: Begin,
    /// Its first bytes.
    pub(crate) bytes: Vec<u8>,
    /// How many there are with those that were not kept.
    pub(crate) len: u64,
}

/// The promise that carries a table is made on this stream, of one that no request can have.
const PROMISED_ON: u32 = 1;
const PROMISED: [u8; 4] = 2_u32.to_be_bytes();

impl Http2 {
    /// What is to stand in front of the requests from position `requests` on, and of the responses from `responses` on. Nothing of a
    /// direction that is not followed, or in the middle of a header block of several frames.
    pub(crate) fn prefixes(&self, requests: u64, responses: u64) -> [Option<Prefix>; 2] {
        let mut prefixes = [self.request.prefix(requests), self.response.prefix(responses)];
        let settings = FrameHead { len: 0, kind: Kind::Settings, flags: 0, stream: 0 }.bytes();
        if let [Some(request), Some(response)] = &mut prefixes
            && self.streams.len() == 0
            && self.request.unbroken
            && request.whole
            && response.whole
        {
            let of_client =
                if self.request.fresh { PREFACE.to_vec() } else { [&PREFACE[..], &settings, &request.frames].concat() };
            let of_server = if self.response.fresh { Vec::new() } else { [&settings[..], &response.frames].concat() };
            let fits = |frames: &Vec<u8>, prefix: &Prefix, next| frames.len() as u64 <= prefix.begins_at(next);
            if fits(&of_client, request, requests) && fits(&of_server, response, responses) {
                (request.frames, response.frames) = (of_client, of_server);
                (request.anew, response.anew) = (true, true);
                return prefixes;
            }
        }
        for (half, prefix) in [&self.request, &self.response].into_iter().zip(&mut prefixes) {
            // There is no room to say that a direction is at its beginning.
            if let Some(prefix) = prefix.as_mut().filter(|_| half.fresh) {
                prefix.whole = false;
            }
        }
        prefixes
    }
}

impl Half {
    fn prefix(&self, next: u64) -> Option<Prefix> {
        let frame = match &self.state {
            State::Preface(_) | State::Seek | State::Off => return None,
            _ if self.block.is_some() => return None,
            State::Head(partial) => partial.begin.map(|begin| Unfinished {
                begin,
                bytes: partial.bytes.iter().take(partial.have).copied().collect(),
                len: partial.have as u64,
            }),
            State::Payload(payload) => {
                let moved = u64::from(payload.head.len) - payload.left;
                let bytes = [&payload.head.bytes()[..], &payload.kept].concat();
                Some(Unfinished { begin: payload.begin, bytes, len: HEAD_BYTES as u64 + moved })
            }
        };
        let frame = frame.filter(|frame| frame.len > 0);
        if frame.as_ref().is_some_and(|frame| frame.begin.pos.checked_add(frame.len) != Some(next)) {
            return None;
        }
        let mut prefix = Prefix { frames: Vec::new(), frame, whole: self.fresh, anew: false };
        if self.fresh {
            // Nothing has been said that could be referred to.
            return Some(prefix);
        }
        let fixed = HEAD_BYTES + PROMISED.len();
        let most = usize::try_from(prefix.begins_at(next)).unwrap_or(usize::MAX).checked_sub(fixed)?;
        let (block, whole) = self.decoder.retold(most);
        let len = u32::try_from(PROMISED.len() + block.len()).ok()?;
        let head = FrameHead { len, kind: Kind::PushPromise, flags: END_HEADERS, stream: PROMISED_ON };
        prefix.frames = [&head.bytes()[..], &PROMISED, &block].concat();
        prefix.whole = whole;
        (block.len() <= most).then_some(prefix)
    }
}

impl Prefix {
    /// The position at which the frames end, if the stream goes on at `next`.
    pub(crate) fn begins_at(&self, next: u64) -> u64 {
        self.frame.as_ref().map_or(next, |frame| frame.begin.pos)
    }
}
