//! What recorder and redactor say to each other, over a socket that also hands over files.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// Bytes that the redactor is told at the beginning, at most.
const SETUP_BYTES: u32 = 1 << 20;

/// What the redactor is told at the beginning.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Setup {
    /// The policy, YAML.
    pub(super) policy: String,
    /// The key of its hashes.
    pub(super) key: Option<Vec<u8>>,
    /// The tape goes into a pipe.
    pub(super) pipe: bool,
    /// When to go on in a new file: bytes, nanoseconds.
    pub(super) rotation: Option<(Option<u64>, Option<u64>)>,
}

/// What the redactor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The file of this number is wanted; those before are complete.
    Open(u32),
    /// All is written: so many bytes.
    Done(u64),
}

impl Setup {
    pub(super) fn send(&self, mut socket: &UnixStream) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let len =
            u32::try_from(text.len()).ok().filter(|len| *len <= SETUP_BYTES).ok_or(io::ErrorKind::InvalidInput)?;
        socket.write_all(&len.to_le_bytes())?;
        socket.write_all(&text)
    }

    pub(super) fn receive(mut socket: &UnixStream) -> io::Result<Self> {
        let mut len = [0; 4];
        socket.read_exact(&mut len)?;
        let len = u32::from_le_bytes(len);
        if len > SETUP_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut text = vec![0; usize::try_from(len).unwrap_or_default()];
        socket.read_exact(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

impl Message {
    pub(super) fn send(self, mut socket: &UnixStream) -> io::Result<()> {
        let (kind, number) = match self {
            Self::Open(number) => (b'O', u64::from(number)),
            Self::Done(bytes) => (b'D', bytes),
        };
        let mut bytes = [kind; 9];
        bytes[1..].copy_from_slice(&number.to_le_bytes());
        socket.write_all(&bytes)
    }

    pub(super) fn receive(mut socket: &UnixStream) -> io::Result<Self> {
        let mut bytes = [0; 9];
        socket.read_exact(&mut bytes)?;
        let [kind, number @ ..] = bytes;
        let number = u64::from_le_bytes(number);
        match (kind, u32::try_from(number)) {
            (b'O', Ok(number)) => Ok(Self::Open(number)),
            (b'D', _) => Ok(Self::Done(number)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Hands a file over.
pub(super) fn send_file(socket: &UnixStream, file: impl AsFd) -> io::Result<()> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = [file.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&files));
    sendmsg(socket, &[IoSlice::new(b"F")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Takes a file.
pub(super) fn receive_file(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut files = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    files.next().ok_or_else(|| io::Error::other("no file came"))
}
