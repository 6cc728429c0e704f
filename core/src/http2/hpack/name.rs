//! The header fields that telemetry needs, and the static table of HPACK (RFC 7541, appendix A).

/// The name of a header field, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Authority,
    ContentType,
    GrpcStatus,
    GrpcTraceBin,
    Host,
    Method,
    Path,
    Protocol,
    Scheme,
    Status,
    Traceparent,
    UserAgent,
    /// Any other.
    Other,
    /// It stands in a part of the dynamic table that nobody has seen.
    Unknown,
}

impl Name {
    /// How many names there are of which the values are kept.
    pub(crate) const KEPT: usize = 12;

    /// Where values of this name are kept.
    pub(crate) const fn slot(self) -> Option<usize> {
        let at = self as usize;
        if at < Self::KEPT { Some(at) } else { None }
    }

    /// The length of a name whose values are kept; 0 of others.
    pub(crate) const fn len(self) -> usize {
        self.text().len()
    }

    /// A name whose values are kept, as on the wire; nothing of others.
    pub(crate) const fn text(self) -> &'static [u8] {
        match self {
            Self::Authority => b":authority",
            Self::ContentType => b"content-type",
            Self::GrpcStatus => b"grpc-status",
            Self::GrpcTraceBin => b"grpc-trace-bin",
            Self::Host => b"host",
            Self::Method => b":method",
            Self::Path => b":path",
            Self::Protocol => b":protocol",
            Self::Scheme => b":scheme",
            Self::Status => b":status",
            Self::Traceparent => b"traceparent",
            Self::UserAgent => b"user-agent",
            Self::Other | Self::Unknown => b"",
        }
    }

    /// Names are lower-case on the wire (RFC 9113, section 8.2).
    pub(crate) const fn of(name: &[u8]) -> Self {
        match name {
            b":authority" => Self::Authority,
            b":method" => Self::Method,
            b":path" => Self::Path,
            b":protocol" => Self::Protocol,
            b":scheme" => Self::Scheme,
            b":status" => Self::Status,
            b"content-type" => Self::ContentType,
            b"grpc-status" => Self::GrpcStatus,
            b"grpc-trace-bin" => Self::GrpcTraceBin,
            b"host" => Self::Host,
            b"traceparent" => Self::Traceparent,
            b"user-agent" => Self::UserAgent,
            _ => Self::Other,
        }
    }
}

/// An entry of the static table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Static {
    pub(super) name: Name,
    pub(super) name_len: usize,
    pub(super) value: &'static [u8],
}

/// The entries of the static table; index 1 is the first.
pub(super) static STATIC: [Static; TEXT.len()] = {
    let mut table = [Static { name: Name::Other, name_len: 0, value: b"" }; TEXT.len()];
    let mut at = 0;
    while at < TEXT.len() {
        let (name, value) = TEXT[at];
        table[at] = Static { name: Name::of(name.as_bytes()), name_len: name.len(), value: value.as_bytes() };
        at += 1;
    }
    table
};

/// As text.
pub(crate) const TEXT: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
