//! Facts of the recording host and of this recording, for the tape's first block.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use redtape_core::Origin;

/// Where and how a tape was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// The host's name.
    pub host_name: String,
    /// The kernel's release, as `uname -r` says it.
    pub kernel_release: String,
    /// The machine, as `uname -m` says it.
    pub arch: String,
    /// CPUs that are online.
    pub cpus: u32,
    /// `/proc/sys/kernel/random/boot_id`: tells whether monotonic times of two tapes can be compared.
    pub boot_id: String,
    /// The recorder's command line.
    pub command_line: Vec<String>,
}

impl HostFacts {
    /// Collects them. What cannot be found out stays empty.
    pub fn collect() -> Self {
        let uname = rustix::system::uname();
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self {
            host_name: uname.nodename().to_string_lossy().into_owned(),
            kernel_release: uname.release().to_string_lossy().into_owned(),
            arch: uname.machine().to_string_lossy().into_owned(),
            cpus: cpus(),
            boot_id: boot_id.trim().to_owned(),
            command_line: std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect(),
        }
    }
}

/// The inode number of the initial pid namespace, that of the host (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The pid namespace of this process: the one in whose ids it is told of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidNamespace {
    /// The initial one, which has all processes.
    Initial,
    /// One of a container or a pod: its processes, and those of namespaces further in, can be recorded.
    Own {
        /// Its inode number.
        inode: u32,
    },
    /// Whichever it is, `/proc` shows another one's processes, under ids that mean nothing here.
    ForeignProc,
}

impl PidNamespace {
    /// That of this process. Where no `/proc` is mounted, the initial one.
    pub fn current() -> Self {
        let shown = fs::read_link("/proc/self").ok().and_then(|link| link.to_str()?.parse().ok());
        if is_foreign(shown, Path::new("/proc/stat").exists()) {
            return Self::ForeignProc;
        }
        fs::metadata("/proc/self/ns/pid").map_or(Self::Initial, |link| Self::of(link.ino()))
    }

    fn of(inode: u64) -> Self {
        match u32::try_from(inode) {
            Ok(inode) if u64::from(inode) != INITIAL_PID_NAMESPACE => Self::Own { inode },
            _ => Self::Initial,
        }
    }
}

/// Whether `/proc` is of another pid namespace, by the id that it shows of this process: another one if that namespace is
/// further out, none if this process is not in it.
fn is_foreign(shown: Option<u32>, mounted: bool) -> bool {
    match shown {
        Some(id) => id != std::process::id(),
        None => mounted,
    }
}

/// The first two numbers of this kernel's release.
pub(crate) fn kernel_version() -> Option<(u32, u32)> {
    version_of(&rustix::system::uname().release().to_string_lossy())
}

/// The first two numbers of a release.
pub(crate) fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Counts the `cpuN` lines of `/proc/stat`: the CPUs that are online, whatever this process may run on.
fn cpus() -> u32 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let cpus = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
    u32::try_from(cpus).unwrap_or(u32::MAX)
}

/// A random identity for a recording, from the kernel.
///
/// # Errors
/// `/proc` is not mounted.
pub fn random_origin() -> std::io::Result<Origin> {
    let text = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let uuid = u128::from_str_radix(&digits, 16).map_err(std::io::Error::other)?;
    Ok(Origin(uuid.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{
        HostFacts, INITIAL_PID_NAMESPACE, PidNamespace, is_foreign, kernel_version, random_origin, version_of,
    };

    #[test]
    fn host_facts_are_found() {
        let facts = HostFacts::collect();
        assert!(!facts.kernel_release.is_empty() && !facts.arch.is_empty() && facts.cpus > 0);
        assert_eq!(facts.boot_id.len(), 36);
        assert!(!facts.command_line.is_empty());
    }

    #[test]
    fn releases_have_versions() {
        assert_eq!(version_of("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version_of("5.10.0-28-amd64"), Some((5, 10)));
        assert_eq!(version_of("odd"), None);
        assert!(kernel_version().is_some());
    }

    #[test]
    fn pid_namespaces() {
        assert_eq!(PidNamespace::of(INITIAL_PID_NAMESPACE), PidNamespace::Initial);
        assert_eq!(PidNamespace::of(4_026_532_200), PidNamespace::Own { inode: 4_026_532_200 });
    }

    #[test]
    fn the_proc_of_another_namespace_does_not_show_this_process_by_its_id() {
        let own = std::process::id();
        assert!(!is_foreign(Some(own), true) && is_foreign(Some(own + 1), true));
        assert!(is_foreign(None, true) && !is_foreign(None, false));
    }

    #[test]
    fn origins_differ() {
        assert_ne!(random_origin().unwrap(), random_origin().unwrap());
    }
}
