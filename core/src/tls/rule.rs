//! How it became known which TCP connection carries a TLS connection.

/// The rule that tied a TLS connection to its carrier, or untied it. The numbers are the tape format's and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TieRule {
    /// A rule of a newer format.
    Unknown = 0,
    /// The program told the library the socket's descriptor (`SSL_set_fd` and the like).
    SetFd = 1,
    /// The library itself read from the socket, or wrote to it, while it was called.
    Call = 2,
    /// The thread moved TLS records of fitting lengths between the socket and the library, which worked in memory.
    Records = 3,
    /// None: evidence contradicts other evidence. There is no carrier, and will be none; what was known before may be wrong.
    Contradicted = 4,
}

impl TieRule {
    /// The rule with this number, [`TieRule::Unknown`] for a number of a newer format.
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::SetFd,
            2 => Self::Call,
            3 => Self::Records,
            4 => Self::Contradicted,
            _ => Self::Unknown,
        }
    }

    /// A short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::SetFd => "set_fd",
            Self::Call => "call",
            Self::Records => "records",
            Self::Contradicted => "contradicted",
        }
    }
}
