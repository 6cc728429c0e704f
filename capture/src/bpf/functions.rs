//! Programs on functions of user space: loading, attaching to one process.
//!
//! A program is attached either by one link for all its places, which Linux has from 6.6 on (`BPF_TRACE_UPROBE_MULTI`), or by one
//! perf event a place. Where there are many short-lived processes the difference is that between working and not: a
//! perf event is closed under a lock that attaching takes, too, and for 80 ms or more, since the kernel waits for grace
//! periods of RCU there; a link of 30 places takes as long as that once, and holds no lock meanwhile.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData, Stack};
use aya::programs::{ProbeKind, Program};
use aya_obj::{Object, ProgramSection};
use rustix::fs::{MemfdFlags, memfd_create};

use super::error::LoadError;
use super::probes::{OBJECT, program_error, take};
use super::uprobes;
use crate::host::kernel_version;

/// From this kernel on, a link for one process means all its threads, and not one of them.
const MANY_PLACES: (u32, u32) = (6, 10);

/// From this kernel on, programs on tracepoints can be preempted, and are skipped where that is before another run of them has
/// ended: who often wakes up to do something costs records.
const PREEMPTED: (u32, u32) = (7, 0);

/// What the programs on a function's return go on with where plaintext was moved, and where they look for it.
const KEEP: &str = "tls_keep";
const AFTER_RETURN: &str = "AFTER_RETURN";

/// The programs on functions. They cost nothing until they are attached.
#[derive(Debug)]
pub(crate) struct FunctionPrograms {
    programs: BTreeMap<String, FunctionProgram>,
    way: Way,
    /// The libraries that are probed in each process, a bit for each.
    probed: HashMap<MapData, u32, u32>,
}

#[derive(Debug)]
struct FunctionProgram {
    fd: OwnedFd,
    /// It goes on the return of a function.
    returns: bool,
}

/// How programs are attached.
#[derive(Debug)]
enum Way {
    /// By one link for all places.
    Links,
    /// By one perf event a place.
    Events {
        /// The number of the PMU for functions of user space.
        pmu: u32,
        /// What makes its events ones of returns.
        returns: u64,
    },
}

/// Programs that are attached, each until it is dropped. That may take the kernel a tenth of a second and more.
pub(crate) type Attached = OwnedFd;

/// Why a program could not be attached to a function.
#[derive(Debug)]
pub(crate) enum ProbeRefused {
    /// The recorder may not do this at all.
    NoPrivilege(io::Error),
    /// The process has ended.
    Gone,
    /// Not at this place.
    Other(io::Error),
}

impl FunctionPrograms {
    /// Loads all programs on functions, which can put together so many records at a time.
    pub(super) fn load(ebpf: &mut Ebpf, scratches: u32) -> Result<Self, LoadError> {
        let (programs, way) = load_for_kernel(ebpf)?;
        let after_return = ebpf.map(AFTER_RETURN).and_then(map_fd);
        if let (Some(array), Some(keep)) = (after_return, programs.get(KEEP)) {
            uprobes::go_on_with(&array, 0, &keep.fd).map_err(|source| LoadError::GoOn { program: KEEP, source })?;
        }
        let mut free: Stack<MapData, u32> = take(ebpf, "TLS_FREE")?;
        for number in 0..scratches {
            free.push(number, 0).map_err(|_| LoadError::Map("TLS_FREE"))?;
        }
        Ok(Self { programs, way, probed: take(ebpf, "PROBED")? })
    }

    /// Lets the programs tell of a process's TLS libraries `libraries`, a bit for each, whose functions are all probed now.
    pub(crate) fn begin(&mut self, tgid: u32, libraries: u32) {
        let before = self.probed.get(&tgid, 0).unwrap_or(0);
        // Where the table is full, so is that of followed processes, which is counted.
        let _full = self.probed.insert(tgid, before | libraries, 0);
    }

    /// The programs tell no more of a process.
    pub(crate) fn end(&mut self, tgid: u32) {
        let _none = self.probed.remove(&tgid);
    }

    /// Attaches a program at offsets of a file, for one process. In `attached` is what could be done, also if not all could.
    pub(crate) fn attach(
        &self,
        program: &str,
        path: &Path,
        offsets: &[u64],
        tgid: u32,
        attached: &mut Vec<Attached>,
    ) -> Result<(), ProbeRefused> {
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|error| ProbeRefused::Other(error.into()))?;
        let missing = || ProbeRefused::Other(io::Error::other("no such program"));
        let FunctionProgram { fd, returns } = self.programs.get(program).ok_or_else(missing)?;
        match self.way {
            Way::Links => attached.push(uprobes::link(fd, *returns, &path, offsets, tgid).map_err(refusal)?),
            Way::Events { pmu, returns: config } => {
                let kind = (pmu, if *returns { config } else { 0 });
                for &offset in offsets {
                    attached.push(uprobes::event(fd, kind, &path, offset, tgid).map_err(refusal)?);
                }
            }
        }
        Ok(())
    }
}

/// Attaches a program where nothing runs, again and again, so that attaching stays quick.
///
/// Whoever attaches waits for the forks under way, by a lock that is made for not being taken
/// (`dup_mmap_sem` of kernel/events/uprobes.c): to the first in a while it costs a grace period of RCU, 5 to 20 ms; those who
/// come within the next 20 ms or so find it paid.
#[derive(Debug)]
pub(crate) struct Pacemaker {
    /// A file that nobody maps.
    path: CString,
    _file: OwnedFd,
}

impl Pacemaker {
    /// None if it would do no good with the way in which this kernel attaches, or would do harm.
    pub(crate) fn new(programs: &FunctionPrograms) -> Option<Self> {
        let preempted = kernel_version().is_none_or(|version| version >= PREEMPTED);
        if preempted || !matches!(programs.way, Way::Links) {
            return None;
        }
        let file = memfd_create("redtape", MemfdFlags::CLOEXEC).ok()?;
        rustix::fs::ftruncate(&file, 4096).ok()?;
        let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        Some(Self { path, _file: file })
    }

    /// Does it once. What is returned is to be dropped.
    pub(crate) fn beat(&self, programs: &FunctionPrograms) -> Option<Attached> {
        let FunctionProgram { fd, returns } = programs.programs.get(KEEP)?;
        uprobes::link(fd, *returns, &self.path, &[0], std::process::id()).ok()
    }
}

fn load_for_kernel(ebpf: &mut Ebpf) -> Result<(BTreeMap<String, FunctionProgram>, Way), LoadError> {
    if kernel_version().is_some_and(|version| version >= MANY_PLACES)
        && let Ok(programs) = load_for_links(ebpf)
    {
        return Ok((programs, Way::Links));
    }
    let programs = load_for_events(ebpf)?;
    let way = pmu().map_err(|source| LoadError::Pmu { source })?;
    Ok((programs, way))
}

/// Loads the programs as aya does, but for what it cannot say: that they are for links of many places.
fn load_for_links(ebpf: &Ebpf) -> Result<BTreeMap<String, FunctionProgram>, Box<dyn std::error::Error>> {
    let mut object = Object::parse(OBJECT)?;
    let maps = std::mem::take(&mut object.maps);
    let known: Vec<_> = maps.iter().filter_map(|(name, map)| Some((name, map_fd(ebpf.map(name)?)?, map))).collect();
    let code = object.functions.keys().map(|(section, _)| *section).collect();
    object.relocate_maps(known.iter().map(|(name, fd, map)| (name.as_str(), fd.as_raw_fd(), *map)), &code)?;
    object.relocate_calls(&code)?;
    let sorted: BTreeMap<_, _> = object.programs.iter().collect();
    let mut programs = BTreeMap::new();
    for (name, program) in sorted {
        let returns = match program.section {
            ProgramSection::UProbe { .. } => false,
            ProgramSection::URetProbe { .. } => true,
            _ => continue,
        };
        let function = object.functions.get(&program.function_key()).ok_or("no function of the program's name")?;
        let fd = uprobes::load(name, &program.license, &function.instructions)?;
        programs.insert(name.clone(), FunctionProgram { fd, returns });
    }
    Ok(programs)
}

fn load_for_events(ebpf: &mut Ebpf) -> Result<BTreeMap<String, FunctionProgram>, LoadError> {
    let mut programs = BTreeMap::new();
    for (name, program) in ebpf.programs_mut() {
        let Program::UProbe(program) = program else { continue };
        let fd = program.load().and_then(|()| Ok(program.fd()?.as_fd().try_clone_to_owned()?));
        let fd = fd.map_err(|source| program_error("a program on functions", source))?;
        let returns = matches!(program.kind(), ProbeKind::Return);
        programs.insert(name.to_owned(), FunctionProgram { fd, returns });
    }
    Ok(programs)
}

/// The maps that the programs use; there are no others.
fn map_fd(map: &Map) -> Option<BorrowedFd<'_>> {
    let (Map::Array(data)
    | Map::HashMap(data)
    | Map::LruHashMap(data)
    | Map::PerCpuArray(data)
    | Map::ProgramArray(data)
    | Map::RingBuf(data)
    | Map::Stack(data)) = map
    else {
        return None;
    };
    Some(data.fd().as_fd())
}

/// What the kernel says of the PMU for functions of user space (Documentation/ABI/testing/sysfs-bus-event_source-devices-format).
fn pmu() -> io::Result<Way> {
    let read = |file: &str| fs::read_to_string(Path::new("/sys/bus/event_source/devices/uprobe").join(file));
    let parsed = |text: &str| text.trim().parse::<u32>().map_err(io::Error::other);
    let bit = parsed(read("format/retprobe")?.trim().trim_start_matches("config:"))?;
    let returns = 1_u64.checked_shl(bit).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Way::Events { pmu: parsed(&read("type")?)?, returns })
}

fn refusal(error: io::Error) -> ProbeRefused {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => ProbeRefused::NoPrivilege(error),
        Some(libc::ESRCH | libc::ENOENT) => ProbeRefused::Gone,
        _ => ProbeRefused::Other(error),
    }
}
