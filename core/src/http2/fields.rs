//! What the header fields of a block say.

use super::hpack::{Name, Sink};
use crate::exchange::{RequestHead, TraceContext, Version};
use crate::ids::{SpanId, TraceId};
use crate::limits::Limits;

/// The fields of one block, of those that telemetry needs the first of each name. Used again for each block.
#[derive(Debug, Default)]
pub(super) struct Fields {
    text: Vec<u8>,
    /// Where in `text` the values are.
    at: [Option<(u32, u32)>; Name::KEPT],
    count: usize,
    bytes: usize,
    max_count: usize,
    max_bytes: usize,
    /// Some names or values are not known.
    pub(super) unknown: bool,
    /// There were more than the limits allow; the rest was left out.
    pub(super) too_many: bool,
}

impl Sink for Fields {
    fn field(&mut self, name: Name, size: usize, value: Option<&[u8]>) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(size);
        if self.count > self.max_count || self.bytes > self.max_bytes {
            self.too_many = true;
            return;
        }
        self.unknown |= name == Name::Unknown;
        let (Some(slot), Some(value)) = (name.slot().and_then(|slot| self.at.get_mut(slot)), value) else { return };
        if slot.is_none() {
            let from = self.text.len();
            self.text.extend_from_slice(value);
            let [from, to] = [from, self.text.len()].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
            *slot = Some((from, to));
        }
    }
}

impl Fields {
    pub(super) fn clear(&mut self, limits: &Limits) {
        self.text.clear();
        (self.at, self.count, self.bytes) = ([None; Name::KEPT], 0, 0);
        (self.max_count, self.max_bytes) = (limits.head_lines, limits.head_bytes);
        (self.unknown, self.too_many) = (false, false);
    }

    /// Heap memory in use, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.text.capacity()
    }

    pub(super) fn value(&self, name: Name) -> Option<&[u8]> {
        let (from, to) = (*self.at.get(name.slot()?)?)?;
        self.text.get(from as usize..to as usize)
    }

    /// Whether this is the head of a request: trailers have no pseudo-header fields (RFC 9113, section 8.1).
    pub(super) fn is_request(&self) -> bool {
        [Name::Method, Name::Scheme, Name::Path, Name::Authority].iter().any(|&name| self.value(name).is_some())
    }

    /// `:status`, if it is one.
    pub(super) fn status(&self) -> Option<u16> {
        decimal(self.value(Name::Status)?).filter(|status| (100..1000).contains(status))
    }

    /// Whether the content is gRPC (and not gRPC-Web, which is plain HTTP); `None` if the block does not say. All calls are POST
    /// requests.
    pub(super) fn is_grpc(&self) -> Option<bool> {
        match self.value(Name::ContentType) {
            Some(content_type) => {
                let rest = content_type.strip_prefix(b"application/grpc");
                Some(rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' '))))
            }
            None if self.unknown && self.value(Name::Method).is_none_or(|method| method == b"POST") => None,
            None => Some(false),
        }
    }

    /// `grpc-status`
    pub(super) fn grpc_status(&self) -> Option<u16> {
        decimal(self.value(Name::GrpcStatus)?)
    }

    pub(super) fn is_connect(&self) -> bool {
        self.value(Name::Method) == Some(b"CONNECT")
    }

    /// The request's head. The target is `:path`; a plain CONNECT has none, and its authority is the target.
    pub(super) fn request_head(&self) -> RequestHead {
        let authority = self.value(Name::Authority).or_else(|| self.value(Name::Host));
        let target = self.value(Name::Path).or_else(|| authority.filter(|_| self.is_connect()));
        let context = self.value(Name::Traceparent).and_then(TraceContext::parse);
        let context = context.or_else(|| self.value(Name::GrpcTraceBin).and_then(binary_context));
        let [method, target] = [self.value(Name::Method), target].map(Option::unwrap_or_default);
        let user_agent = self.value(Name::UserAgent);
        let head = RequestHead::from_wire(method, target, authority, user_agent, Version::Http2, context);
        if self.is_grpc() == Some(true) { head.with_grpc() } else { head }
    }
}

fn decimal(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u16, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// The trace context in the binary form of OpenCensus, which `grpc-trace-bin` has in base64, with or without padding: version
/// 0, then the fields 0 (trace id), 1 (span id) and 2 (options), each with its number first.
fn binary_context(base64: &[u8]) -> Option<TraceContext> {
    let mut bytes = [0; 29];
    let text = base64.strip_suffix(b"==").or_else(|| base64.strip_suffix(b"=")).unwrap_or(base64);
    if text.len() != 39 {
        return None;
    }
    for (group, digits) in bytes.chunks_mut(3).zip(text.chunks(4)) {
        let mut bits = 0u32;
        for at in 0..4 {
            bits = bits << 6 | digits.get(at).map_or(Some(0), |&digit| base64_digit(digit))?;
        }
        let [_, decoded @ ..] = bits.to_be_bytes();
        group.iter_mut().zip(decoded).for_each(|(slot, byte)| *slot = byte);
    }
    let (&[0, 0], rest) = bytes.split_first_chunk()? else { return None };
    let (&trace_id, rest) = rest.split_first_chunk::<16>()?;
    let (&[1], rest) = rest.split_first_chunk()? else { return None };
    let (&parent_id, rest) = rest.split_first_chunk::<8>()?;
    let &[2, flags] = rest else { return None };
    let valid = trace_id != [0; 16] && parent_id != [0; 8];
    valid.then_some(TraceContext { trace_id: TraceId(trace_id), parent_id: SpanId(parent_id), flags })
}

fn base64_digit(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_in_binary_form() {
        let of = |text: &[u8]| binary_context(text).map(|context| (context.trace_id, context.parent_id, context.flags));
        let text = b"AAABAgMEBQYHCAkKCwwNDg8QAREiM0RVZneIAgE";
        let expected = Some((
            TraceId([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
            SpanId([0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]),
            1,
        ));
        assert_eq!(of(text), expected);
        assert_eq!(of(&[&text[..], b"="].concat()), expected);
        assert_eq!(of(b"AQABAgMEBQYHCAkKCwwNDg8QAREiM0RVZneIAgE"), None, "another version");
        assert_eq!(of(b"AAAAAAAAAAAAAAAAAAAAAAAAAREiM0RVZneIAgE"), None, "no trace");
        assert_eq!(of(b"AAAB"), None);
    }

    #[test]
    fn which_content_is_grpc() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web+proto", false),
            ("application/grpcx", false),
            ("application/connect+proto", false),
        ] {
            let mut fields = Fields::default();
            fields.clear(&Limits::default());
            fields.field(Name::ContentType, 0, Some(content_type.as_bytes()));
            assert_eq!(fields.is_grpc(), Some(expected), "{content_type}");
        }
    }
}
