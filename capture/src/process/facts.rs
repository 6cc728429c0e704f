//! Reads what the tape says of a process from `/proc`.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use procfs::process::{FDTarget, ProcState, Process, Stat};
use redtape_core::{EntryExt, MonoNanos, Origin, ProcKey, ProcessInfo, Tgid};

use crate::clock::read_clocks;

use super::ports::{Inode, PortIndex};

/// The environment variables that name a service. No other variable is ever recorded.
const NAMING_VARIABLES: [&str; 2] = ["OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"];

/// What tells two processes with the same id apart: the kernel's start time, in clock ticks since boot.
pub type StartKey = u64;

/// A reader of `/proc`, with what it takes to turn the kernel's start times into monotonic ones.
#[derive(Clone, Copy, Debug)]
pub struct ProcFs {
    nanos_per_tick: u64,
    /// `CLOCK_BOOTTIME` minus `CLOCK_MONOTONIC`: the time the host was suspended so far.
    suspended_nanos: u64,
}

impl ProcFs {
    /// Reads the clocks once.
    pub fn new() -> Self {
        let anchor = read_clocks();
        Self {
            nanos_per_tick: 1_000_000_000 / procfs::ticks_per_second().max(1),
            suspended_nanos: anchor.boot_nanos.saturating_sub(anchor.mono.nanos()),
        }
    }

    /// The start keys of all processes there are, parents before their children where the start times tell.
    ///
    /// # Errors
    /// `/proc` cannot be listed.
    pub fn list(&self) -> procfs::ProcResult<Vec<(Tgid, StartKey)>> {
        let mut found: Vec<_> = procfs::process::all_processes()?
            .filter_map(|process| process.and_then(|process| process.stat()).ok())
            .filter(is_alive)
            .filter_map(|stat| Some((Tgid(u32::try_from(stat.pid).ok()?), stat.starttime)))
            .collect();
        found.sort_unstable_by_key(|(tgid, start)| (*start, *tgid));
        Ok(found)
    }

    /// What tells this process from others with its id; `None` if there is none.
    pub fn start_key(&self, tgid: Tgid) -> Option<StartKey> {
        let stat = Process::new(i32::try_from(tgid.0).ok()?).ok()?.stat().ok()?;
        is_alive(&stat).then_some(stat.starttime)
    }

    /// Reads a process. What the recorder has no right to see stays empty.
    ///
    /// Returns `None` if there is no such process. `key`, `origin` and `id` are left for the caller to fill in.
    pub fn read(&self, tgid: Tgid, ports: &mut PortIndex) -> Option<(StartKey, ProcessInfo)> {
        let pid = i32::try_from(tgid.0).ok()?;
        let process = Process::new(pid).ok()?;
        let stat = process.stat().ok().filter(is_alive)?;
        let namespace = |name: &str| {
            fs::metadata(format!("/proc/{pid}/ns/{name}"))
                .ok()
                .and_then(|link| u32::try_from(link.ino()).ok())
                .unwrap_or(0)
        };
        let netns = namespace("net");
        let descriptors = Descriptors::read(&process);
        let info = ProcessInfo {
            key: ProcKey::default(),
            origin: Origin::default(),
            id: 0,
            tgid,
            parent: Tgid(u32::try_from(stat.ppid).unwrap_or(0)),
            started: self.started(stat.starttime),
            exe: process.exe().map(|exe| exe_path(&exe)).unwrap_or_default(),
            cmdline: process.cmdline().unwrap_or_default(),
            cgroup: cgroup(&process),
            netns,
            pidns: namespace("pid"),
            mntns: namespace("mnt"),
            env: naming_variables(&process),
            listening: descriptors.listening(ports.listeners(netns, pid)),
            io_uring: descriptors.io_uring,
            opaque_tls: false,
            comm: stat.comm,
            ext: EntryExt::default(),
        };
        Some((stat.starttime, info))
    }

    /// The TCP sockets, or those that might be: the inodes of all sockets that a process has open.
    pub fn sockets(&self, tgid: Tgid) -> Vec<Inode> {
        let process = i32::try_from(tgid.0).ok().and_then(|pid| Process::new(pid).ok());
        process.map(|process| Descriptors::read(&process).sockets).unwrap_or_default()
    }

    fn started(&self, ticks_since_boot: u64) -> MonoNanos {
        MonoNanos::new(ticks_since_boot.saturating_mul(self.nanos_per_tick)).minus(self.suspended_nanos)
    }
}

impl Default for ProcFs {
    fn default() -> Self {
        Self::new()
    }
}

/// What a process's open file descriptors tell.
struct Descriptors {
    sockets: Vec<Inode>,
    io_uring: bool,
}

impl Descriptors {
    fn read(process: &Process) -> Self {
        let mut descriptors = Self { sockets: Vec::new(), io_uring: false };
        for descriptor in process.fd().into_iter().flatten().flatten() {
            match descriptor.target {
                FDTarget::Socket(inode) => descriptors.sockets.push(inode),
                FDTarget::AnonInode(kind) if kind.contains("io_uring") => descriptors.io_uring = true,
                _ => {}
            }
        }
        descriptors
    }

    fn listening(&self, listeners: &std::collections::BTreeMap<Inode, u16>) -> Vec<u16> {
        let mut ports: Vec<u16> = self.sockets.iter().filter_map(|inode| listeners.get(inode).copied()).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

/// Neither a zombie nor dead: those still have an entry in `/proc`, but nothing to record.
fn is_alive(stat: &Stat) -> bool {
    !matches!(stat.state(), Ok(ProcState::Zombie | ProcState::Dead))
}

/// The path of an executable, also if its file has been replaced since the process began.
fn exe_path(exe: &Path) -> String {
    let path = exe.to_string_lossy();
    path.strip_suffix(" (deleted)").unwrap_or(&path).to_owned()
}

/// The path in the v2 hierarchy if the process is in one, else the longest of the v1 paths.
fn cgroup(process: &Process) -> String {
    let Ok(groups) = process.cgroups() else { return String::new() };
    let unified = groups.0.iter().find(|group| group.hierarchy == 0 && group.pathname != "/");
    let longest = || groups.0.iter().max_by_key(|group| group.pathname.len());
    unified.or_else(longest).map(|group| group.pathname.clone()).unwrap_or_default()
}

fn naming_variables(process: &Process) -> Vec<(String, String)> {
    let Ok(environ) = process.environ() else { return Vec::new() };
    let value = |name| environ.iter().find(|(key, _)| key.as_bytes() == str::as_bytes(name)).map(|(_, value)| value);
    NAMING_VARIABLES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), value(name)?.to_string_lossy().into_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    use redtape_core::Tgid;

    use super::{PortIndex, ProcFs};

    #[test]
    fn reads_a_child() {
        let mut child = Command::new("sleep")
            .args(["1000", "--"])
            .env("OTEL_SERVICE_NAME", "sleeper")
            .env("SECRET", "hunter2")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let tgid = Tgid(child.id());
        let procfs = ProcFs::new();
        let read = || procfs.read(tgid, &mut PortIndex::default()).unwrap().1;
        // Until it has called exec, the child is still this test.
        let info = std::iter::repeat_with(read)
            .find(|info| info.cmdline.first().is_some_and(|program| program == "sleep"))
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();

        let own = procfs.read(Tgid(std::process::id()), &mut PortIndex::default()).unwrap().1;
        assert_eq!((info.tgid, info.comm.as_str()), (tgid, "sleep"));
        assert_eq!(info.parent, own.tgid);
        assert!(info.exe.ends_with("/sleep") || info.exe.ends_with("/coreutils"), "{}", info.exe);
        assert_eq!(info.cmdline, ["sleep", "1000", "--"]);
        assert_eq!(info.env, [("OTEL_SERVICE_NAME".to_owned(), "sleeper".to_owned())]);
        assert_eq!((info.netns, info.pidns, info.mntns), (own.netns, own.pidns, own.mntns));
        assert_ne!(info.netns, 0);
        assert!(info.started >= own.started && own.started.nanos() > 0);
        assert!(info.listening.is_empty() && !info.io_uring);
        assert!(procfs.read(tgid, &mut PortIndex::default()).is_none(), "it has been waited for");
    }

    #[test]
    fn reads_listening_ports() {
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let v6 = TcpListener::bind("[::1]:0").unwrap();
        let mut expected = [&v4, &v6].map(|socket| socket.local_addr().unwrap().port());
        expected.sort_unstable();
        let own = ProcFs::new().read(Tgid(std::process::id()), &mut PortIndex::default()).unwrap().1;
        for port in expected {
            assert!(own.listening.contains(&port), "{port} in {:?}", own.listening);
        }
        assert!(own.listening.is_sorted());
    }
}
