//! Which descriptors are connections, and what is told of these.

use std::io;

use redtape_core::{Body, ConnInfo, ConnKey, Endpoint, MonoNanos, Role};

use super::processes::SocketNumber;
use super::sockets::{Ends, Socket};
use super::source::{Context, State};
use crate::import::kept::Kept;

impl State {
    /// A descriptor is a TCP connection from now on.
    pub(super) fn open(
        &mut self,
        pid: u64,
        fd: i64,
        ends: Ends,
        role: Role,
        preexisting: bool,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        let origin = cx.transcript.origin();
        let time = self.now;
        let (_, process) = self.processes.of_thread(pid, origin);
        let Ends { local, remote } = ends;
        let listens = role == Role::Server && !process.info.listening.contains(&local.port());
        if listens {
            process.info.listening.push(local.port());
            process.info.listening.sort_unstable();
        }
        let (key, tell) = (process.info.key, listens || !process.told);
        process.told = true;
        if tell {
            let info = process.info.clone();
            self.order.push(time, Body::Process(&info), cx.transcript)?;
        }
        let info = ConnInfo {
            process: key,
            role,
            endpoint: Some(Endpoint { local, remote }),
            preexisting,
            ..ConnInfo::unknown(origin, cx.transcript.next_connection())
        };
        let socket = Socket { key: info.key, kept: Kept::default(), is_tls: false, moved: [0; 2], descriptors: 1 };
        let socket = self.sockets.insert(socket);
        let before = self.processes.open(pid, fd, socket);
        cx.found.connections += 1;
        self.order.push(time, Body::Connection(&info), cx.transcript)?;
        before.map_or(Ok(()), |before| self.release(before, time, cx))
    }

    /// Tells of a descriptor's connection, if it is one.
    pub(super) fn told(
        &mut self,
        pid: u64,
        fd: i64,
        cx: &mut Context<'_>,
        body: impl FnOnce(ConnKey) -> (MonoNanos, Body<'static>),
    ) -> io::Result<()> {
        let Some(socket) = self.processes.socket(pid, fd).and_then(|socket| self.sockets.get_mut(socket)) else {
            return Ok(());
        };
        cx.found.used += 1;
        let (time, body) = body(socket.key);
        self.order.push(time.nanos(), body, cx.transcript)
    }

    /// A descriptor of a socket is gone; with the last one the connection is over.
    pub(super) fn release(&mut self, socket: SocketNumber, time: u64, cx: &mut Context<'_>) -> io::Result<()> {
        match self.sockets.release(socket) {
            Some(conn) => self.order.push(time, Body::Close { conn }, cx.transcript),
            None => Ok(()),
        }
    }
}
