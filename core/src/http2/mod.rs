//! HTTP/2 and gRPC: from two byte streams with holes to exchanges, one a stream (RFC 9113).

mod blocks;
mod control;
mod fields;
mod frame;
mod half;
mod holes;
pub(crate) mod hpack;
mod parser;
mod resume;
mod streams;

pub(crate) use frame::{
    END_HEADERS, FrameHead, HEAD_BYTES, Kind, PADDED, PREFACE, PRIORITY, error_name, is_chain, is_server_preface,
};
pub(crate) use parser::Http2;
pub(crate) use resume::{Prefix, Unfinished};
pub(crate) use streams::Begin;
