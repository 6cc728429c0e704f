//! How a capture is imported.

use super::kept::KeptPayload;

/// How a capture is imported.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Which payload is kept.
    pub payload: KeptPayload,
    /// Ports of servers, for connections of which the capture has no SYN.
    pub server_ports: Vec<u16>,
}
