//! Attaches programs to the TLS libraries of chosen processes, of these alone, and detaches them when the processes end.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use procfs::process::{MMPermissions, MMapPath, Process};
use redtape_core::Tgid;
use rustc_hash::FxHashMap;

use super::functions::{Probed, functions_of};
use super::{AttachPoint, ElfError, ElfFile, Machine, ReturnPoint, go_points, plan, plan_entry};
use crate::bpf::{FunctionProbe, ProbeRefused, Probes};

/// The processor of this machine.
const HOST: Machine = if cfg!(target_arch = "aarch64") { Machine::Aarch64 } else { Machine::X86_64 };

/// Where hosts keep libraries, and the names of those that are looked at ahead of time.
const FOLDERS: [&str; 4] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
const LIBRARIES: [&str; 3] = ["libssl.so.3", "libssl.so.1.1", "libgnutls.so.30"];

/// Files whose functions are remembered.
const FILES_MAX: usize = 4096;

/// Device and inode: the same file under whatever name.
type FileId = (i32, i32, u64);

/// The probes on TLS libraries.
#[derive(Debug, Default)]
pub(crate) struct TlsProbes {
    files: FxHashMap<FileId, Rc<[AttachPoint]>>,
    processes: BTreeMap<Tgid, Attached>,
    refused: Option<String>,
    failed: Option<String>,
}

#[derive(Debug, Default)]
struct Attached {
    /// Its files were found when they were last looked for.
    looked_at: bool,
    files: BTreeSet<FileId>,
    probes: Vec<FunctionProbe>,
}

impl TlsProbes {
    /// Finds the functions of this host's own libraries ahead of time: a program that has just begun is not going to wait.
    pub(crate) fn prepare(&mut self, probes: &Probes) {
        self.refused = probes.functions_refused().map(str::to_owned);
        for folder in FOLDERS {
            for name in LIBRARIES {
                let path = Path::new(folder).join(name);
                let (Some(functions), Ok(facts)) = (functions_of(name, false), std::fs::metadata(&path)) else {
                    continue;
                };
                let (major, minor) = (rustix::fs::major(facts.dev()), rustix::fs::minor(facts.dev()));
                let (Ok(major), Ok(minor)) = (i32::try_from(major), i32::try_from(minor)) else { continue };
                let _found = self.points(&Mapped { id: (major, minor, facts.ino()), path, functions });
            }
        }
    }

    /// Looks at what a process has mapped, and attaches to what is new of it. One that is gone is fine. Returns whether
    /// there was something new.
    pub(crate) fn look(&mut self, tgid: Tgid, probes: &mut Probes) -> bool {
        let mut new = false;
        if self.refused.is_some() {
            return new;
        }
        let Ok(files) = mapped(tgid) else {
            self.processes.entry(tgid).and_modify(|attached| attached.looked_at = false);
            return new;
        };
        self.processes.entry(tgid).or_default().looked_at = true;
        for file in files {
            if self.processes.get(&tgid).is_some_and(|attached| attached.files.contains(&file.id)) {
                continue;
            }
            let points = self.points(&file);
            if points.is_empty() {
                continue;
            }
            let attached = self.processes.entry(tgid).or_default();
            attached.files.insert(file.id);
            for point in &*points {
                match probes.attach_function(point.program, &file.path, point.offset, tgid.0) {
                    Ok(probe) => attached.probes.push(probe),
                    Err(ProbeRefused::NoPrivilege(error)) => {
                        self.refused = Some(error);
                        return new;
                    }
                    Err(ProbeRefused::Gone) => return new,
                    Err(ProbeRefused::Other(error)) => {
                        let path = file.path.display();
                        self.failed.get_or_insert_with(|| format!("{path}: {error}"));
                    }
                }
            }
            probes.uses_tls(tgid.0);
            new = true;
        }
        new
    }

    /// Whether the files of a process were found when they were last looked for.
    pub(crate) fn has_looked_at(&self, tgid: Tgid) -> bool {
        self.processes.get(&tgid).is_some_and(|attached| attached.looked_at)
    }

    /// A process has ended, or runs another program now.
    pub(crate) fn forget(&mut self, tgid: Tgid, probes: &mut Probes) {
        for probe in self.processes.remove(&tgid).into_iter().flat_map(|attached| attached.probes) {
            probes.detach_function(probe);
        }
    }

    /// Why attaching was refused, after which nothing more is tried, or did not work somewhere.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.refused.as_deref().or(self.failed.as_deref())
    }

    /// The places to attach to in a file; none if it is no TLS library, or not readable.
    fn points(&mut self, file: &Mapped) -> Rc<[AttachPoint]> {
        if let Some(points) = self.files.get(&file.id) {
            return Rc::clone(points);
        }
        let points: Rc<[AttachPoint]> = find(&file.path, file.functions).unwrap_or_default().into();
        if self.files.len() >= FILES_MAX {
            self.files.clear();
        }
        self.files.insert(file.id, Rc::clone(&points));
        points
    }
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
        let id = (map.dev.0, map.dev.1, map.inode);
        if files.iter().any(|file| file.id == id) {
            continue;
        }
        let path = if is_program { format!("/proc/{pid}/exe").into() } else { in_root_of(pid, path) };
        files.push(Mapped { id, path, functions });
    }
    Ok(files)
}

fn in_root_of(pid: i32, path: &Path) -> PathBuf {
    let inside = path.strip_prefix("/").unwrap_or(path);
    Path::new("/proc").join(pid.to_string()).join("root").join(inside)
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
    for (probed, found) in functions.iter().zip(file.functions(&symbols)?) {
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
