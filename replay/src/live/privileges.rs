//! Gives up all privileges, for the engine parses what strangers have sent.

use std::fs;
use std::io;

use rustix::process::{DumpableBehavior, Gid, Uid, getegid, geteuid, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

/// The numbers of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// `nobody` where no file names it: the kernel's overflow id.
const NOBODY: User = User { uid: 65534, gid: 65534 };

impl User {
    /// The user to become, if this process is root.
    ///
    /// # Errors
    /// There is no such user.
    pub(super) fn to_become(name: &str) -> Result<Option<Self>, String> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::find(&passwd, name).map(Some).ok_or_else(|| format!("--user {name}: there is no such user"))
    }

    fn find(passwd: &str, name: &str) -> Option<Self> {
        let users = passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (user, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            Some((user, Self { uid: uid.parse().ok()?, gid: gid.parse().ok()? }))
        });
        let number: Option<u32> = name.parse().ok();
        let found = users.into_iter().find(|(user, ids)| *user == name || Some(ids.uid) == number);
        let unlisted = number.map(|number| Self { uid: number, gid: number });
        found.map(|(_, ids)| ids).or(unlisted).or((name == "nobody").then_some(NOBODY))
    }
}

/// Becomes `user`, if one is given, gives up all capabilities, also the right to ever get any, and closes the process to others of
/// its user. For the calling thread: those that it starts from then on are like it, so none may be there yet.
///
/// # Errors
/// The kernel refuses; the process must not go on then.
pub(super) fn drop_all(user: Option<User>) -> io::Result<()> {
    // First, for it takes a capability.
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        // The kernel knows no more of them from the first on that it does not know.
        let Ok(there) = capability_is_in_bounding_set(capability) else { break };
        if there && capabilities(None)?.effective.contains(CapabilitySet::SETPCAP) {
            remove_capability_from_bounding_set(capability)?;
        }
    }
    if let Some(User { uid, gid }) = user {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        set_thread_groups(&[])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        if geteuid() != uid || getegid() != gid {
            return Err(io::Error::other("the kernel has not changed the user"));
        }
    }
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_no_new_privs(true)?;
    // Others of the same user may not look into this process's memory or folders, nor into its environment, where tokens are.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names_or_numbers() {
        const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nred:x:7:8::/:/bin/false\nbroken\n";
        let find = |name: &str| User::find(PASSWD, name).map(|user| (user.uid, user.gid));
        assert_eq!(find("red"), Some((7, 8)));
        assert_eq!(find("7"), Some((7, 8)));
        assert_eq!(find("1234"), Some((1234, 1234)));
        assert_eq!(find("nobody"), Some((65534, 65534)));
        assert_eq!(find("green"), None);
    }

    #[test]
    fn what_is_dropped_stays_dropped() {
        // On a thread of its own, as the test runner's others shall keep theirs.
        std::thread::spawn(|| {
            drop_all(User::to_become("nobody").unwrap()).unwrap();
            let left = capabilities(None).unwrap();
            assert!(left.effective.is_empty() && left.permitted.is_empty());
            assert!(!geteuid().is_root());
            assert!(set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_err());
        })
        .join()
        .unwrap();
    }
}
