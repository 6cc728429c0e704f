//! What can be asked of an event.

/// A field of an event, of its connection or of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "`about` says what each is")]
pub enum Field {
    Comm,
    Conn,
    Cpu,
    Direction,
    Errno,
    Exe,
    Kind,
    Late,
    Len,
    Local,
    LocalPort,
    Netns,
    Payload,
    Pid,
    Port,
    Pos,
    Preexisting,
    Remote,
    RemotePort,
    Role,
    Service,
    Source,
    Tid,
    Time,
    Tls,
}

/// What a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Number,
    /// Nanoseconds.
    Duration,
    /// It is so, or not.
    Flag,
    /// Bytes, which can be searched.
    Bytes,
}

/// All fields, by name.
const FIELDS: [(&str, Field, Type, &str); 25] = [
    ("comm", Field::Comm, Type::Text, "what the kernel calls the process"),
    (
        "conn",
        Field::Conn,
        Type::Text,
        "the connection, as `events` shows it (c1a2b3c4d), or its number (the socket cookie)",
    ),
    ("cpu", Field::Cpu, Type::Number, "the CPU that recorded it"),
    ("direction", Field::Direction, Type::Text, "of a call that moved bytes: `in` or `out`"),
    ("errno", Field::Errno, Type::Number, "of a connect or a socket error"),
    ("exe", Field::Exe, Type::Text, "the path of the process's executable"),
    ("kind", Field::Kind, Type::Text, "what happened: data, accept, connect, arrival, close, ..."),
    ("late", Field::Late, Type::Flag, "it came after events of greater time"),
    ("len", Field::Len, Type::Number, "how many bytes a call moved"),
    ("local", Field::Local, Type::Text, "this end's address and port"),
    ("local.port", Field::LocalPort, Type::Number, "this end's port"),
    ("netns", Field::Netns, Type::Number, "the network namespace"),
    ("payload", Field::Payload, Type::Bytes, "the captured bytes of a call"),
    ("pid", Field::Pid, Type::Number, "the process id"),
    ("port", Field::Port, Type::Number, "either end's port"),
    ("pos", Field::Pos, Type::Number, "the position of a call's first byte in its stream"),
    ("preexisting", Field::Preexisting, Type::Flag, "the connection was open before the recording"),
    ("remote", Field::Remote, Type::Text, "the other end's address and port"),
    ("remote.port", Field::RemotePort, Type::Number, "the other end's port"),
    ("role", Field::Role, Type::Text, "`client`, `server` or `unknown`"),
    ("service", Field::Service, Type::Text, "the service of the process, as it is called without a configuration"),
    ("source", Field::Source, Type::Text, "the system call or library function: read, sendmsg, ssl_write, ..."),
    ("tid", Field::Tid, Type::Number, "the thread"),
    ("time", Field::Time, Type::Duration, "since the first event, as in 1.5s"),
    ("tls", Field::Tls, Type::Flag, "it is the plaintext of a TLS connection"),
];

impl Field {
    /// The field of this name.
    pub(super) fn of(name: &str) -> Option<Self> {
        FIELDS.iter().find(|(known, ..)| *known == name).map(|(_, field, ..)| *field)
    }

    pub(super) fn names() -> [&'static str; FIELDS.len()] {
        FIELDS.map(|(name, ..)| name)
    }

    fn entry(self) -> &'static (&'static str, Self, Type, &'static str) {
        FIELDS.iter().find(|(_, field, ..)| *field == self).expect("invariant: the table has every field")
    }

    pub(super) fn name(self) -> &'static str {
        self.entry().0
    }

    pub(super) fn type_of(self) -> Type {
        self.entry().2
    }

    /// Names of all fields and what they are, for people.
    pub fn about() -> impl Iterator<Item = (&'static str, &'static str)> {
        FIELDS.iter().map(|(name, _, _, about)| (*name, *about))
    }

    /// Whether it is the same for all events of a connection, as far as these tell.
    pub(super) const fn is_of_connection(self) -> bool {
        matches!(
            self,
            Self::Conn
                | Self::Local
                | Self::LocalPort
                | Self::Netns
                | Self::Port
                | Self::Preexisting
                | Self::Remote
                | Self::RemotePort
                | Self::Role
                | Self::Tls
                | Self::Comm
                | Self::Exe
                | Self::Pid
                | Self::Service
        )
    }
}
