//! Gives up all that a process which parses what strangers have sent does not need.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::fs;
use std::io;

use landlock::{ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetStatus, Scope};

use rustix::process::{
    DumpableBehavior, Gid, Resource, Rlimit, Uid, chroot, getegid, geteuid, set_dumpable_behavior, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// `nobody` where no file names it: the kernel's overflow id.
const NOBODY: (u32, u32) = (65534, 65534);

/// Descriptors: standard input, output and error, the socket, the file.
const DESCRIPTORS: u64 = 5;

/// Bytes of memory: some times what redaction holds at most.
const MEMORY: u64 = 1 << 30;

/// The system calls that are left: to read the tape, write and ask for files, keep memory, and end.
const CALLS: [i64; 25] = [
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_read,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sendto,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_readv,
];

/// Those that are left for memory that no program is in.
const MEMORY_CALLS: [i64; 2] = [libc::SYS_mmap, libc::SYS_mprotect];

/// For the only thread there is: becomes nobody, without capabilities, network and files, and gives up the right to get any of that
/// again. Returns what of it this kernel cannot do.
///
/// # Errors
/// The kernel refuses what root can always do; the process must not go on then.
pub(super) fn confine() -> io::Result<Vec<&'static str>> {
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
    let mut missing = Vec::new();
    if !shut_files_and_network().map_err(io::Error::other)? {
        missing.push("Landlock, which keeps it from all files and networks");
    }
    for (resource, most) in
        [(Resource::Core, 0), (Resource::Nproc, 0), (Resource::Nofile, DESCRIPTORS), (Resource::As, MEMORY)]
    {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    match filter() {
        Ok(filter) => seccompiler::apply_filter(&filter).map_err(io::Error::other)?,
        // No filter can be made for this architecture.
        Err(_) => missing.push("a filter of system calls"),
    }
    Ok(missing)
}

/// No file can be opened and no connection made from here on, by Landlock (Linux 5.13; networks 6.7; sockets and signals of others
/// 6.12). Returns whether the kernel can do any of it.
fn shut_files_and_network() -> Result<bool, landlock::RulesetError> {
    // What an older kernel cannot do is left out by the library.
    let newest = ABI::V6;
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(newest))?
        .handle_access(AccessNet::from_all(newest))?
        .scope(Scope::from_all(newest))?;
    let status = ruleset.create()?.restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// All system calls but those that are needed fail with `EPERM`.
fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let no_program = |call| {
        let executable = SeccompCmpOp::MaskedEq(u64::from(libc::PROT_EXEC.unsigned_abs()));
        let condition = SeccompCondition::new(2, SeccompCmpArgLen::Dword, executable, 0)?;
        Ok((call, vec![SeccompRule::new(vec![condition])?]))
    };
    let memory = MEMORY_CALLS.into_iter().map(no_program).collect::<Result<Vec<_>, seccompiler::BackendError>>()?;
    let rules: BTreeMap<_, _> = CALLS.into_iter().map(|call| (call, Vec::new())).chain(memory).collect();
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, refused, SeccompAction::Allow, ARCH.try_into()?)?.try_into()
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixStream};
    use std::process::Command;
    use std::{env, thread};

    use super::*;

    /// The process of the next test. It ends by itself, since nothing else may be left to it.
    #[test]
    #[ignore = "confines the process that it runs in"]
    fn confined_process() {
        let missing = confine().unwrap();
        let mut possible = Vec::new();
        let mut attempt = |what, is_possible: bool| possible.extend(is_possible.then_some(what));
        attempt("reading a file", File::open("/etc/passwd").is_ok());
        attempt("reading a folder", fs::read_dir("/").is_ok());
        attempt("making a file", File::create("/tmp/redtape-confined").is_ok());
        attempt("removing a file", fs::remove_file("/tmp/redtape-confined").is_ok());
        attempt("listening", TcpListener::bind("127.0.0.1:0").is_ok());
        attempt("a datagram", UdpSocket::bind("127.0.0.1:0").is_ok());
        attempt("a socket", UnixDatagram::unbound().is_ok() || UnixStream::pair().is_ok());
        attempt("a process", Command::new("/bin/true").status().is_ok());
        attempt("a thread", thread::Builder::new().spawn(|| ()).is_ok());
        attempt("a namespace", rustix::thread::set_name(c"x").is_ok());
        let memory: usize = vec![1_u8; 32 << 20].iter().map(|&byte| usize::from(byte)).sum();
        eprintln!("possible: {possible:?}, missing: {missing:?}, memory: {memory}");
        std::process::exit(if possible.is_empty() && memory == 32 << 20 { 0 } else { 3 });
    }

    #[test]
    fn neither_files_nor_networks_nor_processes_are_left() {
        let test = "redact::confine::tests::confined_process";
        let mut child = Command::new(env::current_exe().unwrap());
        let out = child.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]).output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    }
}
