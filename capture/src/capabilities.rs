//! The capabilities that recording takes: which are there, what is lost without one, and dropping what is not needed.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// A capability and what it is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Its name in capabilities(7).
    pub name: &'static str,
    /// Without it nothing can be recorded.
    pub required: bool,
    /// What does not work without it.
    pub lost: &'static str,
    set: CapabilitySet,
}

const NEEDS: [Need; 5] = [
    Need {
        name: "CAP_BPF",
        required: true,
        lost: "the BPF programs cannot be loaded: nothing can be recorded",
        set: CapabilitySet::BPF,
    },
    Need {
        name: "CAP_PERFMON",
        required: true,
        lost: "the BPF programs cannot read kernel memory: nothing can be recorded",
        set: CapabilitySet::PERFMON,
    },
    Need {
        name: "CAP_SYS_PTRACE",
        required: false,
        lost: "executables, namespaces and sockets of other users' processes are not readable: choose processes by --pid",
        set: CapabilitySet::SYS_PTRACE,
    },
    Need {
        name: "CAP_DAC_READ_SEARCH",
        required: false,
        lost: "open files of other users' processes cannot be listed: --port finds this user's processes only",
        set: CapabilitySet::DAC_READ_SEARCH,
    },
    Need {
        name: "CAP_SYS_ADMIN",
        required: false,
        lost: "the plaintext of TLS is not recorded; network namespaces cannot be entered: connections that are already open \
               there are not followed",
        set: CapabilitySet::SYS_ADMIN,
    },
];

/// What the process may do.
#[derive(Clone, Copy, Debug)]
pub struct Privileges {
    effective: CapabilitySet,
}

impl Privileges {
    /// Those of the calling thread.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn current() -> io::Result<Self> {
        Ok(Self { effective: capabilities(None)?.effective })
    }

    /// All that matter, each with whether it is there. `CAP_SYS_ADMIN` includes `CAP_BPF` and `CAP_PERFMON`, as the
    /// kernel has it; `CAP_DAC_OVERRIDE` includes `CAP_DAC_READ_SEARCH`.
    pub fn needs(&self) -> impl Iterator<Item = (&'static Need, bool)> {
        NEEDS.iter().map(|need| (need, self.has(need)))
    }

    /// Whether programs may be attached to functions of other processes, as the plaintext of TLS takes.
    pub fn can_probe_functions(&self) -> bool {
        self.effective.contains(CapabilitySet::SYS_ADMIN)
    }

    /// Whether the limit of locked memory can be raised (`CAP_SYS_RESOURCE`), which only kernels before 5.11 need.
    pub fn can_raise_memlock(&self) -> bool {
        self.effective.contains(CapabilitySet::SYS_RESOURCE)
    }

    fn has(&self, need: &Need) -> bool {
        let substitute = match need.set {
            CapabilitySet::BPF | CapabilitySet::PERFMON => CapabilitySet::SYS_ADMIN,
            CapabilitySet::DAC_READ_SEARCH => CapabilitySet::DAC_OVERRIDE,
            _ => need.set,
        };
        self.effective.intersects(need.set | substitute)
    }
}

/// Whether the recorder has to go on writing where file permissions alone would not let it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteAnywhere {
    /// Rotation and the final renaming happen in another user's directory.
    Yes,
    /// The user may write there anyway, or a pipe is written.
    No,
}

/// Whether programs on functions of user space are still to be attached, or all programs anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeFunctions {
    /// TLS libraries of processes to come, too; or everything again for a reader that comes again.
    Yes,
    /// None.
    No,
}

/// Gives up all that is not needed once the probes are attached. What stays is for looking at new processes and for
/// telling the BPF programs about them.
///
/// Capabilities are a matter of the thread: each that has been spawned before has to do it, too.
///
/// # Errors
/// The kernel refuses.
pub fn drop_unneeded(write: WriteAnywhere, functions: ProbeFunctions) -> io::Result<()> {
    let held = capabilities(None)?;
    let write = match write {
        WriteAnywhere::Yes => CapabilitySet::DAC_OVERRIDE,
        WriteAnywhere::No => CapabilitySet::empty(),
    };
    let functions = match functions {
        ProbeFunctions::Yes => CapabilitySet::SYS_ADMIN | CapabilitySet::PERFMON,
        ProbeFunctions::No => CapabilitySet::empty(),
    };
    let needed = functions | CapabilitySet::BPF | CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH | write;
    let kept = held.permitted & needed;
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{CapabilitySet, Privileges, ProbeFunctions, WriteAnywhere, drop_unneeded};
    use rustix::thread::capabilities;

    #[test]
    fn sys_admin_stands_for_bpf_and_perfmon() {
        let missing = |effective| {
            let missing = Privileges { effective };
            missing.needs().filter(|(_, held)| !held).map(|(need, _)| need.name).collect::<Vec<_>>()
        };
        assert_eq!(missing(CapabilitySet::SYS_ADMIN), ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]);
        let two = CapabilitySet::BPF | CapabilitySet::PERFMON;
        assert!(!missing(two).contains(&"CAP_BPF") && missing(two).contains(&"CAP_SYS_ADMIN"));
        assert_eq!(missing(CapabilitySet::empty()).len(), 5);
    }

    #[test]
    fn what_is_dropped_stays_dropped() {
        // On a thread of its own, as the test runner's others shall keep theirs.
        std::thread::spawn(|| {
            let before = capabilities(None).unwrap().permitted;
            drop_unneeded(WriteAnywhere::No, ProbeFunctions::No).unwrap();
            let after = capabilities(None).unwrap();
            assert_eq!(after.permitted, after.effective);
            assert!(before.contains(after.permitted));
            assert!(!after.permitted.intersects(CapabilitySet::SYS_ADMIN | CapabilitySet::PERFMON));
        })
        .join()
        .unwrap();
    }
}
