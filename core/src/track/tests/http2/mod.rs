//! HTTP/2 through a shard.

mod chunks;
mod endings;
mod grpc;
mod holes;
mod hostile;
mod memory;
mod messages;
mod wire;

use wire::Wire;
