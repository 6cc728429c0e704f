//! Frames that are about streams and the connection as a whole: RST_STREAM, SETTINGS and GOAWAY.

use super::frame::REFUSED_STREAM;
use super::parser::Http2;
use crate::exchange::Outcome;
use crate::track::{Call, Side};

/// SETTINGS_HEADER_TABLE_SIZE (RFC 9113, section 6.5.2).
const HEADER_TABLE_SIZE: u16 = 1;

impl Http2 {
    /// One end gives a stream up (section 6.4).
    pub(super) fn rst_stream(&mut self, side: Side, number: u32, payload: &[u8], call: &Call<'_>) {
        let code = payload.first_chunk().map(|&code| u32::from_be_bytes(code));
        let Some(stream) = self.streams.get_mut(number) else { return };
        let doubtful = stream.doubtful;
        let exchange = &mut stream.exchange;
        exchange.reset = code;
        // The end of the response may be among lost records: clients give up what is left of streams that are answered.
        let lossy = side == Side::Request && (doubtful || exchange.request.message.first.exit <= call.lossy_until);
        let outcome = if lossy || code.is_none() { Outcome::Incomplete } else { Outcome::Reset };
        self.streams.end(number, outcome, call.stamp.exit);
    }

    /// What the sender allows the other end (section 6.5).
    pub(super) fn settings(&mut self, side: Side, payload: &[u8], cut: bool) {
        let other = match side {
            Side::Request => &mut self.response.decoder,
            Side::Response => &mut self.request.decoder,
        };
        if cut {
            other.allow(None);
        }
        for &[a, b, value @ ..] in payload.as_chunks::<6>().0 {
            if u16::from_be_bytes([a, b]) == HEADER_TABLE_SIZE {
                other.allow(usize::try_from(u32::from_be_bytes(value)).ok());
            }
        }
    }

    /// One end gives the connection up (section 6.8). Streams above the last that a server names were not looked at; the
    /// others go on.
    pub(super) fn go_away(&mut self, side: Side, payload: &[u8], call: &Call<'_>) {
        let Some((&last, rest)) = payload.split_first_chunk() else { return };
        let Some(&code) = rest.first_chunk() else { return };
        let (last, code) = (u32::from_be_bytes(last) & 0x7fff_ffff, u32::from_be_bytes(code));
        if code != 0 {
            self.given_up = Some(code);
        }
        if side == Side::Request {
            return;
        }
        self.last_taken = Some(self.last_taken.map_or(last, |before| before.min(last)));
        while let Some(number) = self.streams.above(last) {
            if let Some(stream) = self.streams.get_mut(number) {
                stream.exchange.reset = Some(if code == 0 { REFUSED_STREAM } else { code });
            }
            self.streams.end(number, Outcome::Reset, call.stamp.exit);
        }
    }
}
