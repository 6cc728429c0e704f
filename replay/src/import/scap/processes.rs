//! The processes of a capture, their threads, and which sockets their descriptors are.

use redtape_core::{Origin, ProcKey, ProcessInfo, Tgid};
use rustc_hash::FxHashMap;

use super::blocks::{Fields, text};
use super::event::{Record, address, ip};
use super::sockets::Ends;
use crate::import::limits::{DESCRIPTORS, THREADS};

/// The number of a socket among those of the capture.
pub(super) type SocketNumber = usize;

/// All that is known of processes.
#[derive(Default)]
pub(super) struct Processes {
    /// The process of each thread.
    threads: FxHashMap<u64, u64>,
    by_pid: FxHashMap<u64, Process>,
    /// Descriptors of all processes.
    descriptors: usize,
    numbered: u64,
}

/// One process.
#[derive(Default)]
pub(super) struct Process {
    pub(super) info: ProcessInfo,
    /// It was told of.
    pub(super) told: bool,
    fds: FxHashMap<i64, SocketNumber>,
}

impl Processes {
    /// The process that a thread is of. `None` if there are too many to know it.
    pub(super) fn of_thread(&mut self, tid: u64, origin: Origin) -> Option<(u64, &mut Process)> {
        let pid = self.threads.get(&tid).copied().unwrap_or(tid);
        self.by_pid(pid, origin).map(|process| (pid, process))
    }

    /// The process with this id, made where it was not known.
    fn by_pid(&mut self, pid: u64, origin: Origin) -> Option<&mut Process> {
        if !self.by_pid.contains_key(&pid) {
            if self.by_pid.len() >= THREADS {
                return None;
            }
            self.numbered += 1;
            let tgid = Tgid(u32::try_from(pid).unwrap_or(u32::MAX));
            let (id, key) = (self.numbered, ProcKey::new(origin, self.numbered));
            let info = ProcessInfo { key, origin, id, tgid, ..ProcessInfo::default() };
            self.by_pid.insert(pid, Process { info, ..Process::default() });
        }
        self.by_pid.get_mut(&pid)
    }

    /// Learns that a thread is of a process.
    fn thread(&mut self, tid: u64, pid: u64) {
        if tid != pid && (self.threads.len() < THREADS || self.threads.contains_key(&tid)) {
            self.threads.insert(tid, pid);
        }
    }

    /// Reads an entry of the list of processes at the beginning; `None` if it is malformed.
    pub(super) fn list_entry(&mut self, entry: &[u8], origin: Origin) -> Option<()> {
        let mut fields = Fields(entry);
        let (tid, pid, parent) = (fields.u64()?, fields.u64()?, fields.u64()?);
        // Session and process group.
        fields.bytes(16)?;
        let (comm, exe, path, args) = (fields.text()?, fields.text()?, fields.text()?, fields.counted()?);
        self.thread(tid, pid);
        let info = &mut self.by_pid(pid, origin)?.info;
        if tid == pid || info.comm.is_empty() {
            info.parent = Tgid(u32::try_from(parent).unwrap_or_default());
            info.comm = comm;
            info.cmdline = arguments(&exe, args);
            info.exe = if path.is_empty() { exe } else { path };
            info.cgroup = cgroup(fields).unwrap_or_default();
        }
        Some(())
    }

    /// A process runs another program.
    pub(super) fn exec(&mut self, record: &Record<'_>, origin: Origin) -> Option<&mut Process> {
        let (_, process) = self.of_thread(record.tid, origin)?;
        described(&mut process.info, record);
        process.told = false;
        Some(process)
    }

    /// A thread or a process begins. A process has the descriptors of its parent. Returns the sockets that have one more.
    pub(super) fn fork(&mut self, record: &Record<'_>, origin: Origin) -> Vec<SocketNumber> {
        let id = |index| record.number_of(index).and_then(|id| u64::try_from(id).ok());
        let (Some(pid), Some(parent)) = (id(4), id(5)) else { return Vec::new() };
        if pid != record.tid {
            self.thread(record.tid, pid);
            return Vec::new();
        }
        let of = self.threads.get(&parent).copied().unwrap_or(parent);
        let mut fds = self.by_pid.get(&of).map(|parent| parent.fds.clone()).unwrap_or_default();
        if self.descriptors + fds.len() > DESCRIPTORS {
            fds.clear();
        }
        self.descriptors += fds.len();
        let Some(process) = self.by_pid(pid, origin) else { return Vec::new() };
        described(&mut process.info, record);
        let mut sockets: Vec<_> = fds.values().copied().collect();
        sockets.sort_unstable();
        process.fds = fds;
        sockets
    }

    /// A thread ends; a process with it, if it is its first. Returns the process, and the sockets that have one fewer.
    pub(super) fn exit(&mut self, tid: u64) -> Option<(ProcKey, Vec<SocketNumber>)> {
        if self.threads.remove(&tid).is_some() {
            return None;
        }
        let process = self.by_pid.remove(&tid)?;
        self.descriptors -= process.fds.len();
        let mut sockets: Vec<_> = process.fds.into_values().collect();
        sockets.sort_unstable();
        Some((process.info.key, sockets))
    }

    /// The socket that a descriptor is.
    pub(super) fn socket(&self, pid: u64, fd: i64) -> Option<SocketNumber> {
        self.by_pid.get(&pid)?.fds.get(&fd).copied()
    }

    /// A descriptor is a socket from now on. Returns the one that it was before; `Err` if there is no room.
    pub(super) fn open(&mut self, pid: u64, fd: i64, socket: SocketNumber) -> Result<Option<SocketNumber>, ()> {
        let process = self.by_pid.get_mut(&pid).ok_or(())?;
        if self.descriptors >= DESCRIPTORS && !process.fds.contains_key(&fd) {
            return Err(());
        }
        let before = process.fds.insert(fd, socket);
        self.descriptors += usize::from(before.is_none());
        Ok(before)
    }

    /// A descriptor is closed. Returns the socket that it was.
    pub(super) fn close(&mut self, pid: u64, fd: i64) -> Option<SocketNumber> {
        let closed = self.by_pid.get_mut(&pid)?.fds.remove(&fd);
        self.descriptors -= usize::from(closed.is_some());
        closed
    }
}

/// What the exit of execve or clone says of the process.
fn described(info: &mut ProcessInfo, record: &Record<'_>) {
    let Some(exe) = record.param(1).map(text) else { return };
    info.cmdline = arguments(&exe, record.param(2).unwrap_or_default());
    if let Some(parent) = record.number_of(5) {
        info.parent = Tgid(u32::try_from(parent).unwrap_or_default());
    }
    // Older events have no name of the thread there, but a number.
    let comm = record.param(13).filter(|bytes| bytes.last() == Some(&0) && bytes.len() > 1).map(text);
    info.comm = comm.unwrap_or_else(|| exe.rsplit('/').next().unwrap_or_default().to_owned());
    info.exe = exe;
}

/// The arguments, the program first.
fn arguments(exe: &str, args: &[u8]) -> Vec<String> {
    let args = args.split(|&byte| byte == 0).filter(|arg| !arg.is_empty());
    std::iter::once(exe.to_owned()).chain(args.map(|arg| String::from_utf8_lossy(arg).into_owned())).collect()
}

/// The longest path among the control groups of an entry, whose other fields stand before them.
fn cgroup(mut fields: Fields<'_>) -> Option<String> {
    fields.counted()?;
    // Descriptor limit, flags, user, group, memory, faults.
    fields.bytes(8 + 4 + 4 + 4 + 12 + 16)?;
    fields.counted()?;
    fields.bytes(16)?;
    let groups = fields.counted()?.split(|&byte| byte == 0);
    let paths = groups.filter_map(|group| Some(text(group).split_once('=')?.1.to_owned()));
    paths.max_by_key(String::len)
}

/// A descriptor of the list at the beginning.
pub(super) enum Listed {
    /// A TCP connection: this end's address and the other's.
    Socket(i64, Ends),
    /// It listens on a port.
    Listener(u16),
    Other,
}

/// Takes the next descriptor of a list; `None` if it is malformed. In the newer form each has its length before it.
pub(super) fn listed(fields: &mut Fields<'_>, sized: bool) -> Option<Listed> {
    let mut entry = *fields;
    if sized {
        let len = entry.u32()?;
        entry = Fields(fields.bytes(usize::try_from(len).ok()?)?);
        entry.u32()?;
    }
    let (fd, _, kind) = (entry.u64()?, entry.u64()?, entry.u8()?);
    const TCP: u8 = 6;
    let listed = match kind {
        3 | 4 => {
            let (a, b) = (ip(&mut entry, kind == 4)?, ip(&mut entry, kind == 4)?);
            let (a, b) = ((a, entry.u16()?).into(), (b, entry.u16()?).into());
            let tcp = entry.u8()? == TCP;
            if tcp { Listed::Socket(fd.cast_signed(), Ends { local: a, remote: b }) } else { Listed::Other }
        }
        5 | 6 => {
            let address = address(&mut entry, kind == 6)?;
            if entry.u8()? == TCP { Listed::Listener(address.port()) } else { Listed::Other }
        }
        8 => {
            entry.bytes(16)?;
            entry.counted()?;
            Listed::Other
        }
        16 => {
            entry.u32()?;
            entry.counted()?;
            Listed::Other
        }
        0 => Listed::Other,
        _ => {
            entry.counted()?;
            Listed::Other
        }
    };
    if !sized {
        *fields = entry;
    }
    Some(listed)
}
