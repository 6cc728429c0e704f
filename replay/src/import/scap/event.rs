//! The events of a scap file: their parameters, and which of them are about sockets and processes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use redtape_core::{Direction, Source};

use super::blocks::{Fields, kind};

/// An event as it stands in its block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    /// Nanoseconds since the Unix epoch.
    pub(super) time: u64,
    pub(super) tid: u64,
    /// Even at the entry of a call, odd at its exit.
    pub(super) number: u16,
    params: Params<'a>,
}

#[derive(Clone, Copy, Debug)]
struct Params<'a> {
    lens: &'a [u8],
    /// Bytes of a length.
    width: usize,
    values: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the body of an event's block; `None` if it is malformed.
    pub(super) fn parse(block: u32, body: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(body);
        // The CPU.
        fields.u16()?;
        if matches!(block, kind::EVENT_FLAGS | kind::EVENT_FLAGS_V2 | kind::EVENT_FLAGS_V2_LARGE) {
            fields.u32()?;
        }
        let event = fields.0;
        let (time, tid, len, number) = (fields.u64()?, fields.u64()?, fields.u32()?, fields.u16()?);
        let counted = !matches!(block, kind::EVENT | kind::EVENT_FLAGS);
        let count = if counted { Some(usize::try_from(fields.u32()?).ok()?) } else { None };
        let width = if matches!(block, kind::EVENT_V2_LARGE | kind::EVENT_FLAGS_V2_LARGE) { 4 } else { 2 };
        let header = event.len() - fields.0.len();
        let rest = event.get(header..usize::try_from(len).ok()?)?;
        let params = match count {
            Some(count) => Params::split(rest, width, count.checked_mul(width)?)?,
            None => Params::find(rest)?,
        };
        Some(Self { time, tid, number, params })
    }

    /// How many parameters there are.
    pub(super) fn count(&self) -> usize {
        self.params.lens.len() / self.params.width
    }

    /// A parameter's value.
    pub(super) fn param(&self, index: usize) -> Option<&'a [u8]> {
        let Params { lens, width, values } = self.params;
        let mut start = 0_usize;
        for (at, len) in lens.chunks_exact(width).map(length).enumerate() {
            if at == index {
                return values.get(start..)?.get(..len);
            }
            start = start.checked_add(len)?;
        }
        None
    }

    /// A number: of any width, and signed if it has 64 bits.
    pub(super) fn number_of(&self, index: usize) -> Option<i64> {
        Some(match self.param(index)? {
            [a] => i64::from(*a),
            [a, b] => i64::from(u16::from_le_bytes([*a, *b])),
            [a, b, c, d] => i64::from(u32::from_le_bytes([*a, *b, *c, *d])),
            bytes => i64::from_le_bytes(bytes.try_into().ok()?),
        })
    }

    /// Whether there are no addresses where those of a socket of the Internet might be: none are told, or not all of them.
    pub(super) fn lacks_addresses(&self, index: usize) -> bool {
        self.param(index).is_none_or(|tuple| matches!(tuple.first(), None | Some(2 | 10)))
    }

    /// Two addresses, in the order in which they stand.
    pub(super) fn tuple(&self, index: usize) -> Option<(SocketAddr, SocketAddr)> {
        let mut fields = Fields(self.param(index)?);
        match fields.u8()? {
            2 => Some((address(&mut fields, false)?, address(&mut fields, false)?)),
            10 => Some((address(&mut fields, true)?, address(&mut fields, true)?)),
            _ => None,
        }
    }
}

impl<'a> Params<'a> {
    fn split(bytes: &'a [u8], width: usize, lens: usize) -> Option<Self> {
        let (lens, values) = bytes.split_at_checked(lens)?;
        Some(Self { lens, width, values })
    }

    /// Finds out how many parameters there are, where that is left to the event's number: as many as fill the event. With
    /// each one more the bytes that they take grow, so no other number does.
    fn find(bytes: &'a [u8]) -> Option<Self> {
        let (mut count, mut values) = (0, 0);
        while count * 2 + values < bytes.len() {
            values += length(bytes.get(count * 2..)?.get(..2)?);
            count += 1;
        }
        (count * 2 + values == bytes.len()).then(|| Self::split(bytes, 2, count * 2))?
    }
}

fn length(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |len, byte| len << 8 | usize::from(*byte))
}

/// An address and its port.
pub(super) fn address(fields: &mut Fields<'_>, v6: bool) -> Option<SocketAddr> {
    let ip = ip(fields, v6)?;
    Some(SocketAddr::new(ip, fields.u16()?))
}

/// An address, in network order.
pub(super) fn ip(fields: &mut Fields<'_>, v6: bool) -> Option<IpAddr> {
    Some(if v6 {
        let bytes: [u8; 16] = fields.bytes(16)?.try_into().ok()?;
        Ipv6Addr::from(bytes).into()
    } else {
        let bytes: [u8; 4] = fields.bytes(4)?.try_into().ok()?;
        Ipv4Addr::from(bytes).into()
    })
}

/// What a call does, as far as it matters here. The numbers of parameters are those at the exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// It moves bytes of a descriptor.
    Move {
        source: Source,
        direction: Direction,
        /// Where the payload is.
        data: usize,
        /// Where the descriptor is in captures that tell nothing at the entry.
        fd: usize,
    },
    Sendfile,
    Splice,
    Accept,
    Connect,
    Close,
    Shutdown,
    /// A descriptor gets another number: that of the old one is at the exit, where it is told there.
    Dup,
    Fcntl,
    Exec,
    Fork,
}

/// What the event of this number is about: libscap's `ppm_event_code`, without the lowest bit.
pub(super) const fn call(number: u16) -> Option<Call> {
    use Direction::{In, Out};
    const fn moves(source: Source, direction: Direction, data: usize, fd: usize) -> Option<Call> {
        Some(Call::Move { source, direction, data, fd })
    }
    match number & !1 {
        4 => Some(Call::Close),
        6 => moves(Source::Read, In, 1, 2),
        8 => moves(Source::Write, Out, 1, 2),
        12 | 154 | 172 | 214 | 230 | 282 | 288 | 292 | 330 => Some(Call::Exec),
        14 | 156 | 182 | 184 | 216 | 218 | 220 | 222 | 224 | 226 | 334 => Some(Call::Fork),
        22 => Some(Call::Connect),
        26 | 56 | 246 | 248 | 388 => Some(Call::Accept),
        28 => moves(Source::Sendto, Out, 1, 2),
        30 => moves(Source::Sendto, Out, 1, 2),
        32 => moves(Source::Recvfrom, In, 1, 2),
        34 => moves(Source::Recvfrom, In, 1, 3),
        36 => Some(Call::Shutdown),
        48 => moves(Source::Sendmsg, Out, 1, 2),
        52 => moves(Source::Recvmsg, In, 2, 5),
        112 => moves(Source::Read, In, 1, 2),
        114 => moves(Source::Write, Out, 1, 2),
        116 | 120 => moves(Source::Readv, In, 2, 3),
        118 | 122 => moves(Source::Writev, Out, 1, 2),
        124 | 362 | 364 | 366 => Some(Call::Dup),
        150 => Some(Call::Fcntl),
        166 => Some(Call::Splice),
        188 => Some(Call::Sendfile),
        _ => None,
    }
}

/// A thread ends.
pub(super) const fn is_exit(number: u16) -> bool {
    matches!(number, 16 | 186)
}

/// The capture's driver dropped events.
pub(super) const fn is_drop(number: u16) -> bool {
    matches!(number, 148 | 149)
}
