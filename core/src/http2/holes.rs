//! Holes: bytes that were lost or not captured, and how frames are found again behind them.
//!
//! A hole within a frame leaves the framing whole, as the frame's length tells where the next one begins. A larger one takes
//! the framing with it, until a call begins with a chain of frames. Responses belong to requests by the number of their
//! stream, so none is ever taken for another's; but what the missing frames said of the open streams is not known, and
//! neither is what they did to the dynamic table.

use super::frame::Kind;
use super::half::State;
use super::parser::Http2;
use crate::track::{Call, Side};

impl Http2 {
    /// A call moved bytes that were not captured.
    pub(super) fn skip(&mut self, side: Side, count: u64, call: &Call<'_>) {
        let here = match &mut self.half(side).state {
            State::Payload(payload) => {
                // Of data only the first byte is asked for, and that only where there is padding.
                payload.cut |= payload.kept.len() < payload.keep;
                count.min(payload.left)
            }
            State::Seek | State::Off => return,
            State::Head(_) | State::Preface(_) => 0,
        };
        self.pass(side, here, call);
        if here < count {
            self.lose_framing(side);
        }
    }

    /// The calls that moved these bytes are not known.
    pub(super) fn lose(&mut self, side: Side, count: u64) {
        match &mut self.half(side).state {
            State::Payload(payload) if count < payload.left => {
                payload.left -= count;
                payload.cut = true;
                let head = payload.head;
                if head.kind == Kind::Data
                    && let Some(stream) = self.streams.get_mut(head.stream)
                {
                    stream.mark_incomplete();
                    if let Some(message) = stream.message(side) {
                        message.body_len = message.body_len.map(|len| len.saturating_add(count));
                    }
                }
            }
            State::Off => {}
            _ => self.lose_framing(side),
        }
    }

    /// Where the next frame begins is not known.
    pub(super) fn lose_framing(&mut self, side: Side) {
        let half = self.half(side);
        half.state = State::Seek;
        half.block = None;
        half.fresh = false;
        let was_unbroken = std::mem::take(&mut half.unbroken);
        half.decoder.forget();
        match side {
            Side::Request => {
                self.response.decoder.allow(None);
                self.contiguous = false;
                if was_unbroken {
                    self.streams.crowd();
                }
                for stream in self.streams.iter_mut() {
                    stream.doubtful = true;
                    if !stream.request_over {
                        stream.mark_incomplete();
                        stream.lose_size(side);
                    }
                }
            }
            Side::Response => {
                self.request.decoder.allow(None);
                for stream in self.streams.iter_mut() {
                    stream.mark_incomplete();
                    stream.lose_size(side);
                }
            }
        }
    }

    /// Frames of one end may have been taken before earlier ones of the other.
    pub(super) fn lose_order(&mut self) {
        self.streams.iter_mut().for_each(|stream| stream.mark_incomplete());
    }
}
