//! Packet captures: what programs on both ends of a TCP connection said, as somebody on the way saw it.

mod clock;
mod connection;
mod exported;
mod flow;
mod flows;
mod fragments;
mod packets;
mod segment;
mod services;
mod source;
mod stream;

pub(super) use source::PacketSource;
