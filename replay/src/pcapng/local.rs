//! What redtape's own captures have that others have not: the numbers of its blocks and options.
//!
//! Numbers with the highest bit set are for local use (the pcapng specification, "Block Types"): nobody else reads them.

/// A block with some more bytes of the tape, without payload: their number, 32 bits, and the bytes.
pub(crate) const TAPE_BLOCK: u32 = 0x8000_5254;

/// An option of a packet: where its payload belongs.
pub(crate) const OPTION: u16 = 0x8052;

/// Where on the tape the payload of a packet belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The number of the event, among those of the tape.
    pub(crate) event: u64,
    /// The offset from the first byte that the event's call moved.
    pub(crate) offset: u32,
}

impl Place {
    /// The bytes of the option.
    pub(crate) fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.event.to_le_bytes());
        bytes[8..].copy_from_slice(&self.offset.to_le_bytes());
        bytes
    }

    /// Reads the bytes of the option.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (event, offset) = bytes.split_first_chunk()?;
        Some(Self { event: u64::from_le_bytes(*event), offset: u32::from_le_bytes(offset.try_into().ok()?) })
    }
}
