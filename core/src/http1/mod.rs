//! HTTP/1.0 and 1.1: from two byte streams with holes to exchanges (RFC 9112).

mod chunked;
mod exchanges;
mod head;
mod holes;
mod messages;
mod parser;

pub(crate) use chunked::{Chunked, Next, Step, ends_body};
pub(crate) use head::{Framing, Head, StartLine, find_end};
pub(crate) use parser::Http1;
