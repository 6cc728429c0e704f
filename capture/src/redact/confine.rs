//! Gives up all that a process which parses what strangers have sent does not need.

use std::fs;
use std::io;

use rustix::process::{
    DumpableBehavior, Gid, Resource, Rlimit, Uid, chroot, getegid, geteuid, set_dumpable_behavior, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

/// `nobody` where no file names it: the kernel's overflow id.
const NOBODY: (u32, u32) = (65534, 65534);

/// Descriptors: standard input, output and error, the socket, the file.
const DESCRIPTORS: u64 = 5;

/// Bytes of memory: some times what redaction holds at most.
const MEMORY: u64 = 1 << 30;

/// For the only thread there is: becomes nobody, without capabilities, network and files, and gives up the right to get any of that
/// again.
///
/// # Errors
/// The kernel refuses what root can always do; the process must not go on then.
pub(super) fn confine() -> io::Result<()> {
    let root = geteuid().is_root();
    let nobody = nobody();
    // Without the right to do so the rest has to do: no capability and no descriptor is left to reach a network or a file with.
    #[expect(deprecated, reason = "leaving a network behind is no matter of memory safety")]
    let _ = rustix::thread::unshare(UnshareFlags::NEWNET);
    // A folder in which nothing can be made, and which is gone with the process.
    let _ = chroot("/proc/self/fdinfo").and_then(|()| rustix::process::chdir("/"));
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if !capabilities(None)?.effective.contains(CapabilitySet::SETPCAP)
            || remove_capability_from_bounding_set(capability).is_err()
        {
            break;
        }
    }
    if root {
        let (uid, gid) = (Uid::from_raw(nobody.0), Gid::from_raw(nobody.1));
        set_thread_groups(&[])
            .and_then(|()| set_thread_res_gid(gid, gid, gid))
            .and_then(|()| set_thread_res_uid(uid, uid, uid))
            .map_err(|error| {
                io::Error::other(format!(
                    "cannot become nobody ({error}): --redact needs CAP_SETUID and CAP_SETGID as root"
                ))
            })?;
        if geteuid() != uid || getegid() != gid {
            return Err(io::Error::other("the kernel has not changed the user"));
        }
    }
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_no_new_privs(true)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    for (resource, most) in
        [(Resource::Core, 0), (Resource::Nproc, 0), (Resource::Nofile, DESCRIPTORS), (Resource::As, MEMORY)]
    {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

/// The numbers of the user `nobody`.
fn nobody() -> (u32, u32) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let entry = passwd.lines().find_map(|line| {
        let mut fields = line.strip_prefix("nobody:")?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    entry.unwrap_or(NOBODY)
}
