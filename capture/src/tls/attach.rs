//! Attaches programs to the TLS libraries of chosen processes, of these alone, until the processes end.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use procfs::process::{MMPermissions, MMapPath, Process};
use redtape_core::{MonoNanos, Tgid, TlsLibrary};
use rustc_hash::FxHashMap;

use super::functions::{Probed, functions_of};
use super::{AttachPoint, ElfError, ElfFile, Machine, ReturnPoint, go_points, plan, plan_entry};
use crate::bpf::{Attached, FunctionPrograms, Pacemaker, ProbeRefused};
use crate::clock::mono_now;

/// The processor of this machine.
const HOST: Machine = if cfg!(target_arch = "aarch64") { Machine::Aarch64 } else { Machine::X86_64 };

/// Where hosts keep libraries, and the names of those that are looked at ahead of time.
const FOLDERS: [&str; 4] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
const LIBRARIES: [&str; 3] = ["libssl.so.3", "libssl.so.1.1", "libgnutls.so.30"];

/// Files whose functions are remembered, also those that have none.
const FILES_MAX: usize = 4096;

/// The same file under whatever name, as long as nobody writes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct FileId {
    device: u64,
    inode: u64,
    size: u64,
    /// When it was last written to: seconds and nanoseconds.
    written: (i64, i64),
}

/// A program, and all its places in a file.
type Places = (&'static str, Vec<u64>);

/// The probes on TLS libraries.
#[derive(Debug)]
pub(super) struct TlsProbes {
    programs: FunctionPrograms,
    files: FxHashMap<FileId, Arc<[Places]>>,
    processes: BTreeMap<Tgid, Probes>,
    pacemaker: Option<Pacemaker>,
    outcome: Arc<Outcome>,
}

/// What is known of all that was tried.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The recorder may not do this at all: nothing more is tried.
    pub(super) refused: OnceLock<String>,
    /// It did not work at some place.
    pub(super) failed: OnceLock<String>,
    pub(super) processes: Mutex<Processes>,
}

#[derive(Debug, Default)]
pub(super) struct Processes {
    /// Those whose files were found when they were last looked for.
    pub(super) looked_at: BTreeSet<Tgid>,
    /// Those that were newly attached to, and when.
    pub(super) attached: Vec<(Tgid, MonoNanos)>,
}

impl Outcome {
    pub(super) fn processes(&self) -> MutexGuard<'_, Processes> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The probes of a process.
#[derive(Debug, Default)]
struct Probes {
    files: BTreeSet<FileId>,
    attached: Vec<Attached>,
}

impl TlsProbes {
    /// Finds the functions of this host's own libraries ahead of time, and those of the program that is about to be run: once it
    /// has begun it is not going to wait.
    pub(super) fn new(programs: FunctionPrograms, about_to_run: Option<PathBuf>, outcome: Arc<Outcome>) -> Self {
        let pacemaker = Pacemaker::new(&programs);
        let (files, processes) = (FxHashMap::default(), BTreeMap::new());
        let mut probes = Self { programs, files, processes, pacemaker, outcome };
        let library = |folder: &str, name| (Path::new(folder).join(name), functions_of(name, false));
        let libraries = FOLDERS.iter().flat_map(|folder| LIBRARIES.map(|name| library(folder, name)));
        let program = about_to_run.map(|path| (path, functions_of("", true)));
        for (path, functions) in libraries.chain(program) {
            if let (Some(functions), Ok(id)) = (functions, file_id(&path)) {
                let _found = probes.places(&Mapped { id, path, functions });
            }
        }
        probes
    }

    /// Nothing is to be tried.
    pub(super) fn refuse(&self, error: &io::Error) {
        self.outcome.refused.get_or_init(|| error.to_string());
    }

    /// Whether anything is attached in a process.
    pub(super) fn has(&self, tgid: Tgid) -> bool {
        self.processes.contains_key(&tgid)
    }

    /// Looks at what a process has mapped, and attaches to what is new of it. One that is gone is fine.
    pub(super) fn look(&mut self, tgid: Tgid) {
        if self.outcome.refused.get().is_some() {
            return;
        }
        let Ok(files) = mapped(tgid) else {
            self.outcome.processes().looked_at.remove(&tgid);
            return;
        };
        self.outcome.processes().looked_at.insert(tgid);
        for file in files {
            if self.processes.get(&tgid).is_some_and(|probes| probes.files.contains(&file.id)) {
                continue;
            }
            let places = self.places(&file);
            if places.is_empty() {
                continue;
            }
            let Self { programs, processes, outcome, .. } = &mut *self;
            let probes = processes.entry(tgid).or_default();
            probes.files.insert(file.id);
            // With some of the probes alone, half of a conversation would be told as if it were all.
            let mut attach = |(program, offsets): &Places| {
                programs.attach(program, &file.path, offsets, tgid.0, &mut probes.attached)
            };
            match places.iter().try_for_each(&mut attach) {
                Ok(()) => {
                    programs.begin(tgid.0, libraries(&places));
                    outcome.processes().attached.push((tgid, mono_now()));
                }
                Err(ProbeRefused::NoPrivilege(error)) => return self.refuse(&error),
                Err(ProbeRefused::Gone) => return,
                Err(ProbeRefused::Other(error)) => {
                    outcome.failed.get_or_init(|| format!("{}: {error}", file.path.display()));
                }
            }
        }
    }

    /// Keeps attaching quick for another moment. What is returned is to be dropped.
    pub(super) fn keep_quick(&self) -> Option<Attached> {
        self.pacemaker.as_ref()?.beat(&self.programs)
    }

    /// A process has ended, or runs another program now. What is returned has to be dropped, which takes long.
    #[must_use]
    pub(super) fn forget(&mut self, tgid: Tgid) -> Vec<Attached> {
        self.outcome.processes().looked_at.remove(&tgid);
        self.programs.end(tgid.0);
        self.processes.remove(&tgid).map(|probes| probes.attached).unwrap_or_default()
    }

    /// As [`TlsProbes::forget`], of all processes.
    #[must_use]
    pub(super) fn forget_all(&mut self) -> Vec<Attached> {
        std::mem::take(&mut self.processes).into_values().flat_map(|probes| probes.attached).collect()
    }

    /// The places to attach to in a file; none if it is no TLS library, or not readable.
    fn places(&mut self, file: &Mapped) -> Arc<[Places]> {
        if let Some(places) = self.files.get(&file.id) {
            return Arc::clone(places);
        }
        let mut by_program: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        for AttachPoint { program, offset } in find(&file.path, file.functions).unwrap_or_default() {
            by_program.entry(program).or_default().push(offset);
        }
        let places: Arc<[Places]> = by_program.into_iter().collect();
        if self.files.len() >= FILES_MAX {
            self.files.clear();
        }
        self.files.insert(file.id, Arc::clone(&places));
        places
    }
}

/// The libraries that these programs are for, by the prefixes of their names: a bit for each, by its number on the tape.
fn libraries(places: &[Places]) -> u32 {
    const PREFIXES: [(&str, TlsLibrary); 3] =
        [("ssl_", TlsLibrary::OpenSsl), ("gnutls_", TlsLibrary::GnuTls), ("go_", TlsLibrary::GoTls)];
    let library = |prefix| places.iter().any(|(program, _)| program.starts_with(prefix));
    PREFIXES.iter().filter(|(prefix, _)| library(prefix)).map(|(_, library)| 1 << (*library as u32)).sum()
}

/// A mapped file that may have functions of a TLS library.
struct Mapped {
    id: FileId,
    /// As seen from here, whatever the process's mount namespace is.
    path: PathBuf,
    functions: &'static [Probed],
}

fn mapped(tgid: Tgid) -> io::Result<Vec<Mapped>> {
    let pid = i32::try_from(tgid.0).map_err(io::Error::other)?;
    let process = Process::new(pid).map_err(io::Error::other)?;
    let program = process.exe().map_err(io::Error::other)?;
    let mut files: Vec<Mapped> = Vec::new();
    for map in process.maps().map_err(io::Error::other)? {
        let MMapPath::Path(path) = &map.pathname else { continue };
        if !map.perms.contains(MMPermissions::EXECUTE) {
            continue;
        }
        let is_program = *path == program;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(functions) = functions_of(&name, is_program) else { continue };
        let path = if is_program { format!("/proc/{pid}/exe").into() } else { in_root_of(pid, path) };
        let Ok(id) = file_id(&path) else { continue };
        if files.iter().all(|file| file.id != id) {
            files.push(Mapped { id, path, functions });
        }
    }
    Ok(files)
}

fn in_root_of(pid: i32, path: &Path) -> PathBuf {
    let inside = path.strip_prefix("/").unwrap_or(path);
    Path::new("/proc").join(pid.to_string()).join("root").join(inside)
}

fn file_id(path: &Path) -> io::Result<FileId> {
    let facts = std::fs::metadata(path)?;
    let written = (facts.mtime(), facts.mtime_nsec());
    Ok(FileId { device: facts.dev(), inode: facts.ino(), size: facts.size(), written })
}

/// Finds the functions in a file, and the cheapest places of their probes.
fn find(path: &Path, functions: &[Probed]) -> Result<Vec<AttachPoint>, ElfError> {
    let file = ElfFile::open(path)?;
    let machine = file.machine();
    if machine != HOST {
        return Ok(Vec::new());
    }
    let symbols: Vec<_> = functions.iter().map(|function| function.symbol).collect();
    // What is no Go program, or of no Go that is known, has none of these.
    let mut points = go_points(&file).unwrap_or_default();
    let found = file.functions(&symbols)?;
    // A program that a linker took apart may have one of them alone: half of a conversation would be told as if it were all.
    let has = |part| symbols.iter().zip(&found).any(|(symbol, found)| found.is_some() && symbol.contains(part));
    if !(has("_read") && has("_write") || has("_recv") && has("_send")) {
        return Ok(points);
    }
    for (probed, found) in functions.iter().zip(found) {
        let Some(found) = found else { continue };
        let code = file.code(&found).unwrap_or_default();
        let mut add = |program, offset| points.push(AttachPoint { program, offset: found.offset + offset });
        match (probed.entry, probed.result) {
            (Some(entry), None) => add(entry, plan_entry(machine, code, probed.arguments)),
            (entry, Some((by_uretprobe, inside))) => {
                let plan = plan(machine, code, probed.arguments);
                if let Some(entry) = entry {
                    add(entry, plan.entry);
                }
                match plan.result {
                    ReturnPoint::Uretprobe(offset) => add(by_uretprobe, offset),
                    ReturnPoint::Probes(offsets) => offsets.iter().for_each(|offset| add(inside, *offset)),
                }
            }
            (None, None) => {}
        }
    }
    Ok(points)
}
