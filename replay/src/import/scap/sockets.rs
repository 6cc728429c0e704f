//! The TCP connections of a capture, one for each end that a process has.

use std::net::SocketAddr;

use redtape_core::{ConnKey, Direction};

use super::processes::SocketNumber;
use crate::import::kept::Kept;

/// Both addresses of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) key: ConnKey,
    pub(super) kept: Kept,
    pub(super) is_tls: bool,
    /// Bytes received and sent so far.
    pub(super) moved: [u64; 2],
    /// Descriptors that are it.
    pub(super) descriptors: usize,
}

/// Sockets by their numbers, which are used again.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    slots: Vec<Option<Socket>>,
    free: Vec<SocketNumber>,
}

impl Sockets {
    /// Takes a socket; its number.
    pub(super) fn insert(&mut self, socket: Socket) -> SocketNumber {
        if let Some(number) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(number)
        {
            *slot = Some(socket);
            return number;
        }
        self.slots.push(Some(socket));
        self.slots.len() - 1
    }

    pub(super) fn get_mut(&mut self, number: SocketNumber) -> Option<&mut Socket> {
        self.slots.get_mut(number)?.as_mut()
    }

    /// A descriptor is gone. Returns the socket's key if it was the last one.
    pub(super) fn release(&mut self, number: SocketNumber) -> Option<ConnKey> {
        let socket = self.get_mut(number)?;
        socket.descriptors = socket.descriptors.saturating_sub(1);
        if socket.descriptors > 0 {
            return None;
        }
        let key = socket.key;
        if let Some(slot) = self.slots.get_mut(number) {
            *slot = None;
            self.free.push(number);
        }
        Some(key)
    }
}

impl Socket {
    /// The number that a direction has in `moved` and for [`Kept`].
    pub(super) const fn index(direction: Direction) -> usize {
        match direction {
            Direction::In => 0,
            Direction::Out => 1,
        }
    }
}
