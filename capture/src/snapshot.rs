//! The connections that recorded processes had open before the recording began.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use redtape_core::{ConnInfo, ConnKey, EntryExt, Origin, ProcessInfo, Role, Tgid};

use crate::process::{Inode, ProcFs};
use crate::sock_diag::{TcpSocket, dump_in_namespace_of};

/// What was open, and which namespaces could not be looked into.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The connections, by socket cookie.
    pub connections: Vec<ConnInfo>,
    /// Network namespaces whose sockets could not be listed: their open connections are not followed.
    pub unreadable: Vec<Unreadable>,
}

/// A network namespace that could not be looked into.
#[derive(Debug)]
pub struct Unreadable {
    /// A process in it.
    pub tgid: Tgid,
    /// Why.
    pub error: io::Error,
}

/// Lists the open connections of `processes`.
///
/// A dump gives every TCP socket of a namespace its cookie, also those that are in no recorded process yet.
pub fn snapshot<'a>(procfs: &ProcFs, origin: Origin, processes: impl IntoIterator<Item = &'a ProcessInfo>) -> Snapshot {
    let mut by_netns: BTreeMap<u32, Vec<&ProcessInfo>> = BTreeMap::new();
    for process in processes {
        by_netns.entry(process.netns).or_default().push(process);
    }
    let mut snapshot = Snapshot::default();
    for processes in by_netns.values() {
        let Some(first) = processes.first() else { continue };
        match dump_in_namespace_of(first.tgid.0) {
            Ok(sockets) => {
                let owners = owners(procfs, processes);
                snapshot.connections.extend(connections(origin, &sockets, &owners));
            }
            Err(error) => snapshot.unreadable.push(Unreadable { tgid: first.tgid, error }),
        }
    }
    snapshot.connections.sort_unstable_by_key(|conn| conn.id);
    snapshot.connections.dedup_by_key(|conn| conn.id);
    snapshot
}

/// Which process has a socket open. Of several, the one that started last: a server's worker rather than its master.
fn owners<'a>(procfs: &ProcFs, processes: &[&'a ProcessInfo]) -> BTreeMap<Inode, &'a ProcessInfo> {
    let mut owners: BTreeMap<Inode, &ProcessInfo> = BTreeMap::new();
    for process in processes {
        for inode in procfs.sockets(process.tgid) {
            let owner = owners.entry(inode).or_insert(process);
            if (owner.started, owner.tgid) < (process.started, process.tgid) {
                *owner = process;
            }
        }
    }
    owners
}

fn connections(origin: Origin, sockets: &[TcpSocket], owners: &BTreeMap<Inode, &ProcessInfo>) -> Vec<ConnInfo> {
    let listening: BTreeSet<u16> =
        sockets.iter().filter(|socket| socket.listening).map(|socket| socket.endpoint.local.port()).collect();
    let connection = |socket: &TcpSocket| {
        let process = owners.get(&Inode::from(socket.inode))?;
        Some(ConnInfo {
            key: ConnKey::new(origin, socket.cookie),
            origin,
            id: socket.cookie,
            process: process.key,
            role: role(socket, &listening),
            endpoint: Some(socket.endpoint),
            netns: process.netns,
            isn_local: None,
            isn_remote: None,
            established: None,
            preexisting: true,
            first_in: 0,
            first_out: 0,
            tls: None,
            ext: EntryExt::default(),
        })
    };
    sockets.iter().filter(|socket| !socket.listening).filter_map(connection).collect()
}

/// The side of a connection, as far as the listeners of its namespace prove it.
///
/// A socket that connected got its local port from the kernel, which does not give out one that is listened on. The
/// other end's port proves something only if it is in this namespace too. Neither is known of a server whose listener
/// has been closed, so that everything else stays unknown.
fn role(socket: &TcpSocket, listening: &BTreeSet<u16>) -> Role {
    let local = listening.contains(&socket.endpoint.local.port());
    let same_host =
        socket.endpoint.local.ip() == socket.endpoint.remote.ip() || socket.endpoint.remote.ip().is_loopback();
    let remote = same_host && listening.contains(&socket.endpoint.remote.port());
    match (local, remote) {
        (true, false) => Role::Server,
        (false, true) => Role::Client,
        _ => Role::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use redtape_core::{Origin, Role, Tgid};

    use super::{ProcFs, connections, owners};
    use crate::process::PortIndex;
    use crate::sock_diag::dump;

    #[test]
    fn tells_the_open_connections_of_this_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let client = TcpStream::connect(local).unwrap();
        let (_server, _) = listener.accept().unwrap();
        let procfs = ProcFs::new();
        let (_, own) = procfs.read(Tgid(std::process::id()), &mut PortIndex::default()).unwrap();

        let look = || connections(Origin([1; 16]), &dump().unwrap(), &owners(&procfs, &[&own]));
        let role_of = |address| {
            let connection = look().into_iter().find(|conn| conn.endpoint.unwrap().local == address).unwrap();
            assert!(connection.preexisting && connection.id != 0);
            assert_eq!((connection.process, connection.netns), (own.key, own.netns));
            connection.role
        };
        assert_eq!(role_of(client.local_addr().unwrap()), Role::Client);
        assert_eq!(role_of(local), Role::Server);
        drop(listener);
        assert_eq!(role_of(local), Role::Unknown, "nothing proves it any longer");
    }
}
