//! Who listens where: `/proc/PID/net/tcp` and `tcp6` of a network namespace, by socket inode.
//!
//! The kernel lists listening sockets before all others, so only the beginning of these files is read, whatever the
//! number of connections. Reading them takes no privilege, unlike a sock_diag dump of another namespace.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// The inode number of a socket in sockfs: what `/proc/PID/fd` links name.
pub type Inode = u64;

/// The listening TCP sockets of the network namespaces that were asked for, each namespace read once.
///
/// Short-lived: made for one look at the processes.
#[derive(Debug, Default)]
pub struct PortIndex {
    by_netns: BTreeMap<u32, BTreeMap<Inode, u16>>,
}

impl PortIndex {
    /// The listening sockets of namespace `netns`, read through `pid`, a process in it.
    pub fn listeners(&mut self, netns: u32, pid: i32) -> &BTreeMap<Inode, u16> {
        self.by_netns.entry(netns).or_insert_with(|| {
            let net = Path::new("/proc").join(pid.to_string()).join("net");
            let mut listeners = BTreeMap::new();
            for file in ["tcp", "tcp6"] {
                // A process may end at any time, and IPv6 may be off: what cannot be read listens on nothing.
                if let Ok(file) = File::open(net.join(file)) {
                    let _ = read_listeners(BufReader::new(file), &mut listeners);
                }
            }
            listeners
        })
    }

    /// An index by which nobody listens in `netns`: for a caller who knows better and has no time to read.
    pub(super) fn blank(netns: u32) -> Self {
        Self { by_netns: BTreeMap::from([(netns, BTreeMap::new())]) }
    }

    /// All that were asked for, by network namespace.
    pub fn into_listeners(self) -> BTreeMap<u32, BTreeMap<Inode, u16>> {
        self.by_netns
    }
}

/// `st` of a listening socket (`TCP_LISTEN` of include/net/tcp_states.h).
const LISTEN: &str = "0A";

fn read_listeners(file: impl BufRead, listeners: &mut BTreeMap<Inode, u16>) -> io::Result<()> {
    for line in file.lines().skip(1) {
        let line = line?;
        // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ...
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, state) = (fields.next(), fields.nth(1));
        if state != Some(LISTEN) {
            break;
        }
        let port = local.and_then(|local| u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok());
        let inode = fields.nth(5).and_then(|inode| inode.parse().ok());
        if let (Some(port), Some(inode)) = (port, inode) {
            listeners.insert(inode, port);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::read_listeners;

    #[test]
    fn listeners_stand_first() {
        let file = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 4712 1 0
   2: 0100007F:1F40 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 20 4 30 10 -1
   3: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4714 1 0 100 0 0 10 0
";
        let mut listeners = BTreeMap::new();
        read_listeners(file.as_bytes(), &mut listeners).unwrap();
        assert_eq!(listeners, BTreeMap::from([(4711, 8000), (4712, 80)]));
    }
}
