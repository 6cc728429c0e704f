//! TCP sockets by netlink's sock_diag: the only way from outside to a socket's cookie. Asking for it also generates the
//! cookie, so that the BPF programs find it in the socket afterwards.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_LISTEN};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};
use netlink_packet_sock_diag::{SockDiagMessage, inet};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as NetlinkAddr};
use redtape_core::Endpoint;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A TCP socket of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSocket {
    /// Unique over the life of the kernel.
    pub cookie: u64,
    /// The inode number in sockfs, 0 for a socket without a file descriptor.
    pub inode: u32,
    /// Its addresses; the remote one of a listener is unspecified.
    pub endpoint: Endpoint,
    /// It listens.
    pub listening: bool,
}

/// All listeners of the calling thread's network namespace, and all connections over which bytes may still come.
///
/// # Errors
/// The kernel refuses, or answers with what cannot be read.
pub fn dump() -> io::Result<Vec<TcpSocket>> {
    let mut sockets = dump_family(AF_INET)?;
    sockets.extend(dump_family(AF_INET6)?);
    Ok(sockets)
}

/// As [`dump`], for the network namespace of the process `pid`.
///
/// # Errors
/// As for [`dump`]; also if the namespace is another one and cannot be entered, which takes `CAP_SYS_ADMIN`.
pub fn dump_in_namespace_of(pid: u32) -> io::Result<Vec<TcpSocket>> {
    let netns = File::open(format!("/proc/{pid}/ns/net"))?;
    if netns.metadata()?.ino() == fs::metadata("/proc/thread-self/ns/net")?.ino() {
        return dump();
    }
    // Namespaces are a matter of the thread: this one is entered by a thread that ends with the dump.
    let dump = std::thread::spawn(move || {
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
        dump()
    });
    dump.join().unwrap_or_else(|_| Err(io::Error::other("the dump of a network namespace panicked")))
}

fn dump_family(family: u8) -> io::Result<Vec<TcpSocket>> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&NetlinkAddr::new(0, 0))?;
    socket.send(&request(family), 0)?;
    let mut sockets = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        if read_datagram(&datagram, &mut sockets)? {
            return Ok(sockets);
        }
    }
}

fn request(family: u8) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let states = StateFlags::LISTEN
        | StateFlags::ESTABLISHED
        | StateFlags::SYN_SENT
        | StateFlags::FIN_WAIT1
        | StateFlags::FIN_WAIT2
        | StateFlags::CLOSE_WAIT;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states,
        socket_id: if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Takes the sockets out of one datagram of an answer. Returns whether the answer is complete.
fn read_datagram(mut datagram: &[u8], sockets: &mut Vec<TcpSocket>) -> io::Result<bool> {
    while !datagram.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(datagram)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        match message.payload {
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                sockets.push(tcp_socket(&response));
            }
            _ => {}
        }
        // Messages are padded to four bytes.
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX).next_multiple_of(4).max(4);
        datagram = datagram.get(length..).unwrap_or_default();
    }
    Ok(false)
}

fn tcp_socket(response: &inet::InetResponse) -> TcpSocket {
    let InetResponseHeader { state, socket_id, inode, .. } = &response.header;
    let address = |ip: IpAddr, port| SocketAddr::new(ip, port);
    TcpSocket {
        cookie: u64::from_ne_bytes(socket_id.cookie),
        inode: *inode,
        endpoint: Endpoint {
            local: address(socket_id.source_address, socket_id.source_port),
            remote: address(socket_id.destination_address, socket_id.destination_port),
        },
        listening: *state == TCP_LISTEN,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::dump;

    #[test]
    fn finds_both_ends_of_a_loopback_connection() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let local = listener.local_addr().unwrap();
            let client = TcpStream::connect(local).unwrap();
            let (_server, peer) = listener.accept().unwrap();
            assert_eq!(peer, client.local_addr().unwrap());

            let sockets = dump().unwrap();
            let find = |from, to| {
                sockets
                    .iter()
                    .find(|socket| !socket.listening && (socket.endpoint.local, socket.endpoint.remote) == (from, to))
            };
            let (client, server) = (find(peer, local).unwrap(), find(local, peer).unwrap());
            assert_ne!(client.cookie, 0);
            assert_ne!(client.cookie, server.cookie);
            assert_ne!(client.inode, server.inode);
            assert!(sockets.iter().any(|socket| socket.listening && socket.endpoint.local == local));
            let again = dump().unwrap();
            assert!(again.iter().any(|socket| socket == client), "cookies stay");
        }
    }
}
