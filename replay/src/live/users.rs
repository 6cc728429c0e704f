//! Who may send tapes to a socket.

use std::io;
use std::os::unix::net::UnixStream;

/// This program's user, as in `live runs as user nobody (65534)`.
pub(super) fn own_name() -> String {
    let own = rustix::process::geteuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next()?, fields.nth(1)?);
        (uid.parse() == Ok(own)).then(|| format!("{name} ({own})"))
    });
    format!("live runs as user {}", name.unwrap_or_else(|| own.to_string()))
}

/// Tells who is at the other end of a socket.
#[cfg(target_os = "linux")]
pub(super) struct Users {
    own: u32,
    /// What users look like who have no number here, if there can be any.
    unmapped: Option<u32>,
    /// Asks the kernel. (rustix does not tell of a user in another container, whose process has no id here.)
    runtime: tokio::runtime::Runtime,
}

#[cfg(target_os = "linux")]
impl Users {
    pub(super) fn new() -> io::Result<Self> {
        let read = std::fs::read_to_string;
        let unmapped = unmapped(&read("/proc/self/uid_map")?, &read("/proc/sys/kernel/overflowuid")?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        Ok(Self { own: rustix::process::geteuid().as_raw(), unmapped, runtime })
    }

    /// Only root and this process's own user may send tapes.
    pub(super) fn check(&self, stream: &UnixStream) -> Result<(), String> {
        match self.uid(stream).map_err(|error| error.to_string())? {
            uid if Some(uid) == self.unmapped => {
                Err(format!("it is from user {uid}, which may be anybody outside of this container"))
            }
            uid if uid == 0 || uid == self.own => Ok(()),
            uid => Err(format!("it is from user {uid}, which is neither root nor this program's")),
        }
    }

    fn uid(&self, stream: &UnixStream) -> io::Result<u32> {
        let _inside = self.runtime.enter();
        let copy = stream.try_clone()?;
        copy.set_nonblocking(true)?;
        let peer = tokio::net::UnixStream::from_std(copy).and_then(|copy| copy.peer_cred());
        // The two share this.
        stream.set_nonblocking(false)?;
        Ok(peer?.uid())
    }
}

/// The number that stands for all users without one in this user namespace (user_namespaces(7)): none where all have one.
/// Where somebody has that very number, nobody can tell the two apart.
#[cfg(target_os = "linux")]
fn unmapped(uid_map: &str, overflow: &str) -> Option<u32> {
    let lengths = uid_map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    // All but the one that is no user, -1.
    let all = lengths.sum::<u64>() >= u64::from(u32::MAX);
    overflow.trim().parse().ok().filter(|_| !all)
}

/// Without a way to ask, the file's permissions have to do.
#[cfg(not(target_os = "linux"))]
pub(super) struct Users;

#[cfg(not(target_os = "linux"))]
impl Users {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub(super) fn check(&self, _: &UnixStream) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::unmapped;

    #[test]
    fn the_number_of_users_without_one_is_nobodys_in_a_container() {
        assert_eq!(unmapped("         0          0 4294967295\n", "65534\n"), None);
        assert_eq!(unmapped("         0     100000      65536\n", "65534\n"), Some(65534));
        assert_eq!(unmapped("0 1000 1\n1 100000 65536\n", "65534\n"), Some(65534));
    }
}
