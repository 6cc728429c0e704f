//! What a live test needs of the machine, and why it cannot run without it.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::program::tools;

/// One thing that a machine has or lacks.
#[derive(Clone, Copy, Debug)]
pub enum Requirement {
    /// What recording needs: root, the capabilities for BPF, the kernel's types, and a kernel that is not locked down.
    Bpf,
    /// What recording the plaintext of TLS needs beyond that: a right to attach to functions of other processes.
    Uprobes,
    /// Root alone.
    Root,
    /// A program in `PATH`.
    Program(&'static str),
    /// A file of an installed package.
    File(&'static str),
    /// A program that `ci/install` puts into the target folder's `tools`.
    Tool(&'static str),
    /// IPv6 on loopback.
    Ipv6,
}

/// Bits of the capability sets (linux/capability.h).
const CAPABILITIES: [(&str, u32); 2] = [("CAP_PERFMON", 38), ("CAP_BPF", 39)];
const SYS_ADMIN: (&str, u32) = ("CAP_SYS_ADMIN", 21);

impl Requirement {
    /// Why the requirement is not met; `None` if it is.
    pub fn missing(self) -> Option<String> {
        match self {
            Self::Root => (!rustix::process::geteuid().is_root()).then(|| "root is needed".to_owned()),
            Self::Bpf => Self::Root.missing().or_else(bpf_missing),
            Self::Uprobes => Self::Bpf.missing().or_else(|| lacked(&[SYS_ADMIN])),
            Self::Program(name) => (!installed(name)).then(|| format!("the program {name} is not installed")),
            Self::File(path) => (!Path::new(path).exists()).then(|| format!("{path} is not installed")),
            Self::Tool(name) => tool_missing(name),
            Self::Ipv6 => {
                std::net::TcpListener::bind("[::1]:0").err().map(|error| format!("no IPv6 loopback: {error}"))
            }
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

fn bpf_missing() -> Option<String> {
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("the kernel has no types to read (/sys/kernel/btf/vmlinux, CONFIG_DEBUG_INFO_BTF)".to_owned());
    }
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    if lockdown.contains("[confidentiality]") {
        return Some("the kernel is locked down (confidentiality)".to_owned());
    }
    lacked(&CAPABILITIES)
}

/// The first of these capabilities that the process lacks.
fn lacked(capabilities: &[(&str, u32)]) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap_or_default();
    let set = u64::from_str_radix(set.trim(), 16).unwrap_or_default();
    let (name, _) = capabilities.iter().find(|(_, bit)| set >> bit & 1 == 0)?;
    Some(format!("root lacks {name}, as in a container"))
}

fn tool_missing(name: &str) -> Option<String> {
    match tools() {
        Ok(tools) if tools.join(name).exists() => None,
        Ok(tools) => Some(format!("{name} is not in {}; ci/install puts it there", tools.display())),
        Err(error) => Some(error.to_string()),
    }
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
