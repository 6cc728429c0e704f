//! A request target cut into segments, each in its normal spelling.

use std::borrow::Cow;

/// The path of a request target: what stands before the query and the fragment.
pub(super) fn without_query(target: &str) -> &str {
    let end = memchr::memchr2(b'?', b'#', target.as_bytes()).unwrap_or(target.len());
    target.get(..end).unwrap_or(target)
}

/// The segments of a path. Empty ones (doubled slashes, a slash at the end) and matrix parameters (`;…`) are left out;
/// percent-encoded bytes are decoded (RFC 3986, section 6.2.2), and what is not UTF-8 then becomes U+FFFD.
pub(super) fn segments(target: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let mut rest = without_query(target);
    let plain = memchr::memchr2(b';', b'%', rest.as_bytes()).is_none();
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            // Segments are short: going through their bytes takes less than setting up a search.
            let end = rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len());
            let segment = rest.get(..end).unwrap_or_default();
            rest = rest.get(end + 1..).unwrap_or_default();
            let segment = if plain { Cow::Borrowed(segment) } else { decoded(without_parameters(segment)) };
            if !segment.is_empty() {
                return Some(segment);
            }
        }
        None
    })
}

fn without_parameters(segment: &str) -> &str {
    segment.split_once(';').map_or(segment, |(segment, _)| segment)
}

pub(crate) fn decoded(segment: &str) -> Cow<'_, str> {
    if memchr::memchr(b'%', segment.as_bytes()).is_none() {
        return Cow::Borrowed(segment);
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let byte = (*first == b'%').then(|| Some((hex(*after.first()?)? << 4) | hex(*after.get(1)?)?)).flatten();
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    match String::from_utf8(bytes) {
        Ok(text) => Cow::Owned(text),
        Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
