//! The processes of a capture, their threads, and which sockets their descriptors are.

use std::collections::BTreeSet;

use redtape_core::{Origin, ProcKey, ProcessInfo, Tgid};

use super::blocks::{Fields, text};
use super::event::{Record, address, ip};
use super::sockets::Ends;
use crate::import::limits::{DESCRIPTORS, THREADS};
use crate::import::oldest::{Oldest, Replaced};

/// The number of a socket among those of the capture.
pub(super) type SocketNumber = usize;

/// All that is known of processes.
#[derive(Default)]
pub(super) struct Processes {
    /// The process of each thread that is not its first.
    threads: Oldest<u64, u64, THREADS>,
    by_pid: Oldest<u64, Process, THREADS>,
    /// The sockets that descriptors of processes are.
    sockets: Oldest<(u64, i64), SocketNumber, DESCRIPTORS>,
    numbered: u64,
    forgotten: Forgotten,
}

/// One process.
#[derive(Default)]
pub(super) struct Process {
    pub(super) info: ProcessInfo,
    /// It was told of.
    pub(super) told: bool,
    /// Its descriptors that are sockets.
    fds: BTreeSet<i64>,
}

/// What there was no room for any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Forgotten {
    pub(super) threads: usize,
    pub(super) processes: usize,
    /// Descriptors of parents that children would have.
    pub(super) inherited: usize,
    /// Those that have one descriptor fewer.
    pub(super) sockets: Vec<SocketNumber>,
}

/// What a fork changes.
#[derive(Debug, Default)]
pub(super) struct Forked {
    /// The sockets that have one descriptor more.
    pub(super) more: Vec<SocketNumber>,
    /// Those that have one fewer: of a process with the same number whose end was not captured.
    pub(super) fewer: Vec<SocketNumber>,
}

impl Processes {
    /// The process that a thread is of, made where it was not known.
    pub(super) fn of_thread(&mut self, tid: u64, origin: Origin) -> (u64, &mut Process) {
        let pid = self.threads.get(tid).copied().unwrap_or(tid);
        (pid, self.by_pid(pid, origin))
    }

    /// The process with this id, made where it was not known.
    fn by_pid(&mut self, pid: u64, origin: Origin) -> &mut Process {
        let Self { by_pid, sockets, numbered, forgotten, .. } = self;
        let (process, oldest) = by_pid.entry(pid, || {
            *numbered += 1;
            let tgid = Tgid(u32::try_from(pid).unwrap_or(u32::MAX));
            let info = ProcessInfo {
                key: ProcKey::new(origin, *numbered),
                origin,
                id: *numbered,
                tgid,
                ..ProcessInfo::default()
            };
            Process { info, ..Process::default() }
        });
        if let Some((pid, oldest)) = oldest {
            forgotten.processes += 1;
            forgotten.sockets.extend(oldest.fds.into_iter().filter_map(|fd| sockets.remove((pid, fd))));
        }
        process
    }

    /// What was forgotten since this was last asked.
    pub(super) fn take_forgotten(&mut self) -> Option<Forgotten> {
        (self.forgotten != Forgotten::default()).then(|| std::mem::take(&mut self.forgotten))
    }

    /// Learns that a thread is of a process.
    fn thread(&mut self, tid: u64, pid: u64) {
        if tid != pid
            && let Replaced::Oldest(..) = self.threads.insert(tid, pid)
        {
            self.forgotten.threads += 1;
        }
    }

    /// Reads the list of processes at the beginning. `None` if an entry is malformed; others are read where their places are known.
    pub(super) fn list(&mut self, list: &[u8], version: u8, origin: Origin) -> Option<()> {
        let (mut fields, mut all) = (Fields(list), Some(()));
        // Padding is shorter than an entry.
        while fields.0.len() > 4 {
            if version < 9 {
                self.list_entry(&mut fields, version, origin)?;
            } else {
                // The length counts itself.
                let len = usize::try_from(fields.u32()?).ok()?.checked_sub(4)?;
                all = all.and(self.list_entry(&mut Fields(fields.bytes(len)?), version, origin));
            }
        }
        all
    }

    /// Takes an entry. Each version but the ninth has some fields more than the one before, in between or at the end.
    fn list_entry(&mut self, fields: &mut Fields<'_>, version: u8, origin: Origin) -> Option<()> {
        let (tid, pid, parent) = (fields.u64()?, fields.u64()?, fields.u64()?);
        if version >= 6 {
            // The session.
            fields.u64()?;
        }
        if version >= 8 {
            // The process group.
            fields.u64()?;
        }
        let (comm, exe) = (fields.text()?, fields.text()?);
        let path = if version >= 7 { fields.text()? } else { String::new() };
        let args = fields.counted()?;
        // The working directory; descriptor limit, flags, user, group.
        fields.counted()?;
        fields.bytes(8 + 4 + 4 + 4)?;
        if version >= 2 {
            // Memory, faults.
            fields.bytes(12 + 16)?;
        }
        if version >= 3 {
            // The environment.
            fields.counted()?;
        }
        let mut groups = None;
        if version >= 4 {
            // Numbers within its own namespaces.
            fields.bytes(16)?;
            groups = cgroup(fields.counted()?);
        }
        if version >= 5 {
            // The root directory.
            fields.counted()?;
        }
        self.thread(tid, pid);
        let info = &mut self.by_pid(pid, origin).info;
        if tid == pid || info.comm.is_empty() {
            info.parent = Tgid(u32::try_from(parent).unwrap_or_default());
            info.comm = comm;
            info.cmdline = arguments(&exe, args);
            info.exe = if path.is_empty() { exe } else { path };
            info.cgroup = groups.unwrap_or_default();
        }
        Some(())
    }

    /// A process runs another program. Returns its key.
    pub(super) fn exec(&mut self, record: &Record<'_>, origin: Origin) -> ProcKey {
        let (_, process) = self.of_thread(record.tid, origin);
        described(&mut process.info, record);
        process.told = false;
        process.info.key
    }

    /// A thread or a process begins. A process has the descriptors of its parent.
    pub(super) fn fork(&mut self, record: &Record<'_>, origin: Origin) -> Forked {
        let id = |index| record.number_of(index).and_then(|id| u64::try_from(id).ok());
        let (Some(pid), Some(parent)) = (id(4), id(5)) else { return Forked::default() };
        if pid != record.tid {
            self.thread(record.tid, pid);
            return Forked::default();
        }
        let fewer = self.by_pid.get_mut(pid).map(|process| std::mem::take(&mut process.fds)).unwrap_or_default();
        let fewer = fewer.into_iter().filter_map(|fd| self.sockets.remove((pid, fd))).collect();
        let parent = self.threads.get(parent).copied().unwrap_or(parent);
        let fds = self.by_pid.get(parent).map(|parent| parent.fds.clone()).unwrap_or_default();
        described(&mut self.by_pid(pid, origin).info, record);
        let mut more = Vec::new();
        for fd in fds {
            // Few of them are used, so they take nobody's place.
            if self.sockets.is_full() {
                self.forgotten.inherited += 1;
            } else if let Some(socket) = self.socket(parent, fd) {
                self.open(pid, fd, socket);
                more.push(socket);
            }
        }
        Forked { more, fewer }
    }

    /// A thread ends; a process with it, if it is its first. Returns the process, and the sockets that have one fewer.
    pub(super) fn exit(&mut self, tid: u64) -> Option<(ProcKey, Vec<SocketNumber>)> {
        if self.threads.remove(tid).is_some() {
            return None;
        }
        let process = self.by_pid.remove(tid)?;
        let sockets = process.fds.into_iter().filter_map(|fd| self.sockets.remove((tid, fd))).collect();
        Some((process.info.key, sockets))
    }

    /// The socket that a descriptor is.
    pub(super) fn socket(&self, pid: u64, fd: i64) -> Option<SocketNumber> {
        self.sockets.get((pid, fd)).copied()
    }

    /// A descriptor of a process that is known is a socket from now on. Returns the one that it was before.
    pub(super) fn open(&mut self, pid: u64, fd: i64, socket: SocketNumber) -> Option<SocketNumber> {
        let process = self.by_pid.get_mut(pid)?;
        process.fds.insert(fd);
        match self.sockets.insert((pid, fd), socket) {
            Replaced::Nothing => None,
            Replaced::Value(before) => Some(before),
            Replaced::Oldest((pid, fd), socket) => {
                if let Some(process) = self.by_pid.get_mut(pid) {
                    process.fds.remove(&fd);
                }
                self.forgotten.sockets.push(socket);
                None
            }
        }
    }

    /// A descriptor is closed. Returns the socket that it was.
    pub(super) fn close(&mut self, pid: u64, fd: i64) -> Option<SocketNumber> {
        let socket = self.sockets.remove((pid, fd))?;
        if let Some(process) = self.by_pid.get_mut(pid) {
            process.fds.remove(&fd);
        }
        Some(socket)
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

/// The longest path among control groups.
fn cgroup(groups: &[u8]) -> Option<String> {
    let paths = groups.split(|&byte| byte == 0).filter_map(|group| Some(text(group).split_once('=')?.1.to_owned()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_forgotten_and_told() {
        let (origin, mut processes) = (Origin::default(), Processes::default());
        let first = processes.of_thread(1, origin).1.info.key;
        assert_eq!((processes.open(1, 3, 30), processes.open(1, 3, 31)), (None, Some(30)));
        for pid in 2..=THREADS as u64 {
            processes.of_thread(pid, origin);
        }
        assert_eq!(processes.take_forgotten(), None);
        processes.of_thread(0, origin);
        let forgotten = processes.take_forgotten().unwrap();
        assert_eq!(forgotten, Forgotten { processes: 1, sockets: vec![31], ..Forgotten::default() });
        assert_eq!((processes.socket(1, 3), processes.exit(1).is_none()), (None, true));
        assert_ne!(processes.of_thread(1, origin).1.info.key, first, "whoever comes back is another one");
    }

    #[test]
    fn lists_of_all_versions() {
        let text = |text: &str| [&u16::try_from(text.len()).unwrap().to_le_bytes(), text.as_bytes()].concat();
        for version in 1..=9 {
            let since = |first: u8, bytes: Vec<u8>| if version >= first { bytes } else { Vec::new() };
            let entry = |pid: u64| {
                let entry = [
                    [pid, pid, 1].map(u64::to_le_bytes).concat(),
                    since(6, vec![0; 8]),
                    since(8, vec![0; 8]),
                    text("web"),
                    text("./web"),
                    since(7, text("/bin/web")),
                    text("-p\0\x38\0"),
                    text("/"),
                    vec![0; 20],
                    since(2, vec![0; 28]),
                    since(3, text("A=b\0")),
                    since(4, vec![0; 16]),
                    since(4, text("cpu=/a\0memory=/a/b\0")),
                    since(5, text("/")),
                ]
                .concat();
                let len = u32::try_from(entry.len() + 4).unwrap();
                [since(9, len.to_le_bytes().to_vec()), entry].concat()
            };
            let list = [entry(7), entry(8), vec![0; 3]].concat();
            let mut processes = Processes::default();
            assert_eq!(processes.list(&list, version, Origin::default()), Some(()), "version {version}");
            let info = &processes.of_thread(8, Origin::default()).1.info;
            assert_eq!(
                (info.id, info.comm.as_str(), &info.cmdline[..]),
                (2, "web", &["./web", "-p", "8"].map(String::from)[..])
            );
            assert_eq!(info.exe, if version >= 7 { "/bin/web" } else { "./web" });
            assert_eq!(info.cgroup, if version >= 4 { "/a/b" } else { "" });
            assert_eq!(processes.list(&list[..list.len() - 10], version, Origin::default()), None);
        }
    }

    #[test]
    fn the_descriptors_opened_first_make_room() {
        let (origin, mut processes) = (Origin::default(), Processes::default());
        processes.of_thread(7, origin);
        for fd in 0..=DESCRIPTORS {
            processes.open(7, i64::try_from(fd).unwrap(), fd);
        }
        assert_eq!(processes.take_forgotten().unwrap().sockets, [0]);
        let (_, sockets) = processes.exit(7).unwrap();
        assert_eq!((sockets.len(), sockets[0]), (DESCRIPTORS, 1));
    }
}
