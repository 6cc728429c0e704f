//! Why the programs could not be loaded, and what to do about it.

use std::io;

use super::btf::BtfError;

/// Why recording cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel gives no type information.
    #[error(
        "failed to read {path}: {source}; the recorder needs a kernel with type information (CONFIG_DEBUG_INFO_BTF=y)"
    )]
    NoBtf {
        /// The file.
        path: &'static str,
        /// What reading it gave.
        source: io::Error,
    },
    /// The type information is damaged, or of a newer form.
    #[error("failed to understand the kernel's type information: {0}")]
    Btf(#[from] BtfError),
    /// A field that the programs read does not exist in this kernel.
    #[error("the kernel's type information has no `{name}`; this kernel is older than 5.10 or newer than the recorder")]
    Field {
        /// The struct and the field.
        name: String,
    },
    /// The recorder may not load BPF programs.
    #[error("not permitted to load BPF programs: missing {missing}; run as root, or with CAP_BPF and CAP_PERFMON")]
    Capabilities {
        /// The capabilities that are missing.
        missing: String,
    },
    /// The kernel is locked down.
    #[error(
        "the kernel is locked down (confidentiality), so programs may not read its memory; boot with lockdown=integrity or none"
    )]
    Lockdown,
    /// Maps are charged to the locked-memory limit on kernels before 5.11.
    #[error(
        "failed to create the BPF maps: {0}; this kernel charges them to RLIMIT_MEMLOCK: set it to unlimited (ulimit -l, LimitMEMLOCK=infinity)"
    )]
    Memlock(String),
    /// The ring buffer's size is not one that the kernel takes.
    #[error("a ring buffer of {bytes} bytes is not possible: the size must be a power of two of at least 4096")]
    RingSize {
        /// The size asked for.
        bytes: u32,
    },
    /// The object or its maps were refused.
    #[error("failed to load the BPF object: {}", chain(.0))]
    Object(#[source] aya::EbpfError),
    /// A map is missing or not of the type expected: object and recorder are not of one build.
    #[error("the BPF object has no map `{0}` of the expected type; rebuild it with ci/build-ebpf")]
    Map(&'static str),
    /// The kernel has no probes on functions of user space.
    #[error(
        "failed to read /sys/bus/event_source/devices/uprobe: {source}; TLS takes a kernel with CONFIG_UPROBE_EVENTS=y"
    )]
    Pmu {
        /// What reading it gave.
        source: io::Error,
    },
    /// A program cannot be gone on with.
    #[error("failed to let BPF programs go on with `{program}`: {source}")]
    GoOn {
        /// Its name.
        program: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A program was refused.
    #[error("failed to load or attach the BPF program `{program}`: {}", chain(.source))]
    Program {
        /// Its name.
        program: &'static str,
        /// What the kernel said.
        source: aya::programs::ProgramError,
    },
}

/// An error with its causes. Of the verifier's log, which may be megabytes, only the end: it is what says why.
fn chain(error: &dyn std::error::Error) -> String {
    const LINES: usize = 12;
    let whole = error.to_string();
    let lines: Vec<&str> = whole.lines().collect();
    let mut text = match lines.len().checked_sub(LINES) {
        Some(skipped @ 1..) => [&lines[..1], &["..."], &lines[skipped.max(1)..]].concat().join("\n"),
        _ => whole,
    };
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// The capabilities that loading needs and this process lacks, empty if none.
pub(crate) fn missing_capabilities() -> String {
    const SYS_ADMIN: u32 = 21;
    const PERFMON: u32 = 38;
    const BPF: u32 = 39;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(set) = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()) else {
        return String::new();
    };
    let has = |capability: u32| set & (1 << capability) != 0;
    if has(SYS_ADMIN) {
        return String::new();
    }
    let missing = [(BPF, "CAP_BPF"), (PERFMON, "CAP_PERFMON")];
    missing.into_iter().filter(|&(bit, _)| !has(bit)).map(|(_, name)| name).collect::<Vec<_>>().join(" and ")
}

/// Whether the kernel keeps its memory from everyone.
pub(crate) fn locked_down() -> bool {
    std::fs::read_to_string("/sys/kernel/security/lockdown").is_ok_and(|modes| modes.contains("[confidentiality]"))
}
