//! HPACK (RFC 7541): header compression for HTTP/2, decoded from blocks of which some may be missing.

mod decoder;
mod encode;
mod huffman;
mod name;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use decoder::{Decoder, Sink};
pub(crate) use encode::{integer, string};
pub(crate) use huffman::{code_length, decode as huffman_decode, encode as huffman_encode};
pub(crate) use name::{Name, TEXT as STATIC_FIELDS};
