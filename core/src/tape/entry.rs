//! Dictionary entries as they stand in a block: facts of connections and processes to heads and back.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::v1;
use crate::facts::{ConnInfo, Endpoint, ProcessInfo, Role, TlsLibrary};
use crate::ids::{ConnKey, Origin, ProcKey, Tgid};
use crate::time::MonoNanos;

/// The number of no TLS library.
const PLAIN: u8 = 0;

/// The entry of a connection; `origin` and `process` are indices.
pub(super) fn conn_entry(info: &ConnInfo, origin: u32, process: u32) -> v1::ConnEntry {
    v1::ConnEntry {
        origin,
        id: info.id,
        process,
        role: match info.role {
            Role::Unknown => 0,
            Role::Client => 1,
            Role::Server => 2,
        },
        endpoint: info
            .endpoint
            .map(|Endpoint { local, remote }| v1::Endpoint { local: addr(local), remote: addr(remote) }),
        netns: info.netns,
        isn_local: info.isn_local,
        isn_remote: info.isn_remote,
        established: info.established.map(MonoNanos::nanos),
        preexisting: info.preexisting,
        first_in: info.first_in,
        first_out: info.first_out,
        tls: info.tls.map_or(PLAIN, |library| library as u8),
    }
}

/// The connection that an entry with these extensions describes; `shift` is added to its times. What newer versions may say of role and
/// addresses is unknown.
pub(super) fn conn_info(entry: v1::ConnEntry, ext: &[u8], origin: Origin, process: ProcKey, shift: i64) -> ConnInfo {
    let endpoint = entry.endpoint.and_then(|v1::Endpoint { local, remote }| {
        Some(Endpoint { local: socket_addr(local)?, remote: socket_addr(remote)? })
    });
    ConnInfo {
        key: ConnKey::new(origin, entry.id),
        origin,
        id: entry.id,
        process,
        role: match entry.role {
            1 => Role::Client,
            2 => Role::Server,
            _ => Role::Unknown,
        },
        endpoint,
        netns: entry.netns,
        isn_local: entry.isn_local,
        isn_remote: entry.isn_remote,
        established: entry.established.map(|nanos| MonoNanos::new(nanos.saturating_add_signed(shift))),
        preexisting: entry.preexisting,
        first_in: entry.first_in,
        first_out: entry.first_out,
        tls: (entry.tls != PLAIN).then(|| TlsLibrary::from_number(entry.tls)),
        ext: ext.into(),
    }
}

fn addr(addr: SocketAddr) -> v1::Addr {
    let port = addr.port();
    match addr {
        SocketAddr::V4(addr) => {
            let mut ip = [0; 16];
            ip[..4].copy_from_slice(&addr.ip().octets());
            v1::Addr { version: 4, ip, port, flowinfo: 0, scope_id: 0 }
        }
        SocketAddr::V6(addr) => {
            v1::Addr { version: 6, ip: addr.ip().octets(), port, flowinfo: addr.flowinfo(), scope_id: addr.scope_id() }
        }
    }
}

fn socket_addr(addr: v1::Addr) -> Option<SocketAddr> {
    let v1::Addr { version, ip, port, flowinfo, scope_id } = addr;
    let [a, b, c, d, ..] = ip;
    Some(match version {
        4 => SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port).into(),
        6 => SocketAddrV6::new(Ipv6Addr::from(ip), port, flowinfo, scope_id).into(),
        _ => return None,
    })
}

/// The entry of a process; `origin` is an index.
pub(super) fn proc_entry(info: &ProcessInfo, origin: u32) -> v1::ProcEntry {
    v1::ProcEntry {
        origin,
        id: info.id,
        tgid: info.tgid.0,
        parent: info.parent.0,
        started: info.started.nanos(),
        comm: info.comm.clone(),
        exe: info.exe.clone(),
        cmdline: info.cmdline.clone(),
        cgroup: info.cgroup.clone(),
        netns: info.netns,
        pidns: info.pidns,
        mntns: info.mntns,
        env: info.env.clone(),
        listening: info.listening.clone(),
        io_uring: info.io_uring,
        opaque_tls: info.opaque_tls,
    }
}

/// The process that an entry with these extensions describes; `shift` is added to its times.
pub(super) fn process_info(entry: v1::ProcEntry, ext: &[u8], origin: Origin, shift: i64) -> ProcessInfo {
    let started = match entry.started {
        0 => 0,
        nanos => nanos.saturating_add_signed(shift),
    };
    ProcessInfo {
        key: ProcKey::new(origin, entry.id),
        origin,
        id: entry.id,
        tgid: Tgid(entry.tgid),
        parent: Tgid(entry.parent),
        started: MonoNanos::new(started),
        comm: entry.comm,
        exe: entry.exe,
        cmdline: entry.cmdline,
        cgroup: entry.cgroup,
        netns: entry.netns,
        pidns: entry.pidns,
        mntns: entry.mntns,
        env: entry.env,
        listening: entry.listening,
        io_uring: entry.io_uring,
        opaque_tls: entry.opaque_tls,
        ext: ext.into(),
    }
}
