//! What this host supports of what recording needs, and what to do about what is missing.

use std::fs;
use std::io;
use std::path::Path;

use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use crate::bpf::{ArrivalHook, TRACEPOINTS};
use crate::capabilities::Privileges;
use crate::host::{PidNamespace, version_of};
use crate::process::{PortIndex, ProcFs};
use crate::tls::{TlsUse, tls_use};

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it has to be.
    Ok,
    /// Recording works, but something does not.
    Limited,
    /// Nothing can be recorded.
    Missing,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// What to do; empty if there is nothing to do.
    pub remedy: String,
}

impl Check {
    fn new(name: &str, state: State, detail: impl Into<String>, remedy: &str) -> Self {
        let remedy = if state == State::Ok { String::new() } else { remedy.to_owned() };
        Self { name: name.to_owned(), state, detail: detail.into(), remedy }
    }
}

/// The first kernel with the BPF ring buffer and `CAP_BPF`.
const FIRST_KERNEL: (u32, u32) = (5, 8);

/// The first kernel that charges BPF maps to the control group, not to the locked-memory limit.
const FIRST_KERNEL_WITHOUT_MEMLOCK: (u32, u32) = (5, 11);

/// Looks at everything.
pub fn checks() -> Vec<Check> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let version = version_of(&release);
    let btf = fs::read("/sys/kernel/btf/vmlinux");
    let mut checks = vec![kernel(&release, version), btf_check(&btf)];
    checks.extend(hooks(btf.as_deref().unwrap_or_default()));
    checks.extend(privileges());
    checks.push(pid_namespace(PidNamespace::current()));
    checks.push(lockdown(&fs::read_to_string("/sys/kernel/security/lockdown")));
    checks.push(unprivileged_bpf(&read_sysctl("kernel/unprivileged_bpf_disabled")));
    checks.push(perf_event_paranoid(&read_sysctl("kernel/perf_event_paranoid")));
    checks.extend(memlock(version));
    checks.push(io_uring());
    checks.push(tls());
    checks
}

fn kernel(release: &str, version: Option<(u32, u32)>) -> Check {
    let state = match version {
        Some(version) if version < FIRST_KERNEL => State::Missing,
        Some(_) => State::Ok,
        None => State::Limited,
    };
    Check::new("kernel", state, release, "recording needs Linux 5.8 or newer, and is tested from 5.10 on")
}

fn btf_check(btf: &io::Result<Vec<u8>>) -> Check {
    let remedy = "run a kernel with CONFIG_DEBUG_INFO_BTF=y (every current distribution's has it), and mount /sys";
    match btf {
        Ok(bytes) => Check::new("btf", State::Ok, format!("/sys/kernel/btf/vmlinux, {} bytes", bytes.len()), remedy),
        Err(error) => Check::new("btf", State::Missing, format!("/sys/kernel/btf/vmlinux: {error}"), remedy),
    }
}

/// The hooks are looked up by name among the kernel's types: no program has to be loaded for it.
fn hooks(btf: &[u8]) -> Vec<Check> {
    let has_tracepoint = |name: &str| btf_names(btf, &format!("btf_trace_{name}"));
    let absent: Vec<&str> = TRACEPOINTS.into_iter().filter(|name| !has_tracepoint(name)).collect();
    let tracepoints = if absent.is_empty() {
        Check::new("tracepoints", State::Ok, TRACEPOINTS.join(", "), "")
    } else {
        let detail = format!("missing: {}", absent.join(", "));
        Check::new("tracepoints", State::Missing, detail, "run a kernel with BTF that has these tracepoints")
    };
    let is_there = |hook: &ArrivalHook| match hook {
        ArrivalHook::DataReady | ArrivalHook::TcpProbe => has_tracepoint(hook.name()),
        ArrivalHook::DefReadable => btf_names(btf, hook.name()),
        ArrivalHook::None => false,
    };
    vec![tracepoints, arrival(&ArrivalHook::PREFERENCE.into_iter().filter(is_there).collect::<Vec<_>>())]
}

/// The hooks are tried in this order. Whether a function can be traced is not known before.
fn arrival(there: &[ArrivalHook]) -> Check {
    let remedy = "Linux 6.3 and newer have the tracepoint sk_data_ready";
    let (state, detail) = match there {
        [] => (State::Limited, "none: spans have no queue time".to_owned()),
        [ArrivalHook::TcpProbe, ..] => {
            (State::Limited, "tcp_probe: no queue time on half-closed connections".to_owned())
        }
        _ => (State::Ok, there.iter().map(|hook| hook.name()).collect::<Vec<_>>().join(", else ")),
    };
    Check::new("arrival hook", state, detail, remedy)
}

/// Whether a BTF blob names this type or function: its strings stand zero-terminated behind each other.
fn btf_names(btf: &[u8], name: &str) -> bool {
    let needle = [b"\0", name.as_bytes(), b"\0"].concat();
    memchr::memmem::find(btf, &needle).is_some()
}

fn privileges() -> Vec<Check> {
    let privileges = match Privileges::current() {
        Ok(privileges) => privileges,
        Err(error) => return vec![Check::new("capabilities", State::Missing, error.to_string(), "")],
    };
    // One command for all: each replaces what an earlier one has granted.
    let missing: Vec<_> =
        privileges.needs().filter(|(_, held)| !held).map(|(need, _)| need.name.to_ascii_lowercase()).collect();
    let remedy = format!("run as root, or grant what is missing: setcap {}+ep redtape-capture", missing.join(","));
    let check = |(need, held): (&crate::capabilities::Need, bool)| {
        let state = match (held, need.required) {
            (true, _) => State::Ok,
            (false, true) => State::Missing,
            (false, false) => State::Limited,
        };
        Check::new(need.name, state, if held { "held" } else { need.lost }, &remedy)
    };
    privileges.needs().map(check).collect()
}

fn pid_namespace(namespace: PidNamespace) -> Check {
    let (state, detail) = match namespace {
        PidNamespace::Initial => (State::Ok, "the host's: processes of all namespaces are recorded"),
        PidNamespace::Own { .. } => (
            State::Limited,
            "one of its own: its processes are recorded, and those of namespaces further in, and no others",
        ),
        PidNamespace::ForeignProc => (State::Missing, "another one than that of /proc, whose ids mean nothing here"),
    };
    Check::new("pid namespace", state, detail, "to record all: docker run --pid=host, hostPID: true")
}

fn lockdown(file: &io::Result<String>) -> Check {
    let remedy = "boot without lockdown=confidentiality: BPF programs may not read kernel memory under it";
    let Ok(text) = file else { return Check::new("lockdown", State::Ok, "not in use", remedy) };
    let mode = text.split(['[', ']']).nth(1).unwrap_or("unknown");
    let state = if mode == "confidentiality" { State::Missing } else { State::Ok };
    Check::new("lockdown", state, mode, remedy)
}

fn unprivileged_bpf(value: &Option<String>) -> Check {
    let detail = match value.as_deref() {
        Some("0") => "0: also unprivileged users may load some BPF programs",
        Some("1" | "2") => "off, as usual: CAP_BPF is needed, and enough",
        _ => "unknown",
    };
    Check::new("unprivileged bpf", State::Ok, detail, "")
}

fn perf_event_paranoid(value: &Option<String>) -> Check {
    let detail = format!("{} (recording does not depend on it)", value.as_deref().unwrap_or("unknown"));
    Check::new("perf_event_paranoid", State::Ok, detail, "")
}

fn memlock(version: Option<(u32, u32)>) -> Option<Check> {
    if version? >= FIRST_KERNEL_WITHOUT_MEMLOCK {
        return None;
    }
    let limit = getrlimit(Resource::Memlock).current;
    let raisable = Privileges::current().is_ok_and(|held| held.can_raise_memlock());
    let state = if limit.is_none() || raisable { State::Ok } else { State::Missing };
    let detail = limit.map_or_else(|| "unlimited".to_owned(), |bytes| format!("{bytes} bytes of locked memory"));
    let remedy =
        "grant CAP_SYS_RESOURCE, or raise the limit: ulimit -l unlimited, LimitMEMLOCK=infinity in a unit file";
    Some(Check::new("memlock", state, detail, remedy))
}

fn io_uring() -> Check {
    let procfs = ProcFs::new();
    let mut ports = PortIndex::default();
    let listed = procfs.list().unwrap_or_default();
    let users: Vec<String> = listed
        .into_iter()
        .filter_map(|(tgid, _)| procfs.read(tgid, &mut ports))
        .filter(|(_, info)| info.io_uring)
        .map(|(_, info)| format!("{} ({})", info.comm, info.tgid.0))
        .collect();
    if users.is_empty() {
        return Check::new("io_uring", State::Ok, "no process uses it", "");
    }
    let detail = format!("what these do by io_uring is not recorded: {}", users.join(", "));
    Check::new("io_uring", State::Limited, detail, "turn io_uring off in these programs, if they are to be recorded")
}

/// What is linked into a program is not looked for here, as that takes reading all programs.
fn tls() -> Check {
    let procfs = ProcFs::new();
    let listed = procfs.list().unwrap_or_default();
    let used: Vec<_> = listed.into_iter().filter_map(|(tgid, _)| Some((tgid, tls_use(tgid)?))).collect();
    let users = |wanted: TlsUse| used.iter().filter(move |(_, of)| *of == wanted);
    let seen = users(TlsUse::Seen).count();
    let java: Vec<String> = users(TlsUse::Java).map(|(tgid, _)| format!("java ({})", tgid.0)).collect();
    if java.is_empty() {
        let detail = format!(
            "processes with a library that is seen into: {seen}; a recording names those whose TLS it does not see"
        );
        return Check::new("tls", State::Ok, detail, "");
    }
    let detail = format!("Java's own TLS is not seen: {}; processes with a library that is: {seen}", java.join(", "));
    Check::new(
        "tls",
        State::Limited,
        detail,
        "record at a proxy in front of them, or have them use OpenSSL (netty-tcnative)",
    )
}

fn read_sysctl(name: &str) -> Option<String> {
    fs::read_to_string(Path::new("/proc/sys").join(name)).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{State, btf_names, checks, hooks, kernel, lockdown, pid_namespace, version_of};
    use crate::host::PidNamespace;

    #[test]
    fn kernels() {
        let state = |release: &str| kernel(release, version_of(release)).state;
        assert_eq!((state("5.7.1"), state("5.8.0"), state("odd")), (State::Missing, State::Ok, State::Limited));
    }

    #[test]
    fn lockdown_modes() {
        let state = |text: &str| lockdown(&Ok(text.to_owned())).state;
        assert_eq!(state("[none] integrity confidentiality\n"), State::Ok);
        assert_eq!(state("none [integrity] confidentiality\n"), State::Ok);
        assert_eq!(state("none integrity [confidentiality]\n"), State::Missing);
        assert_eq!(lockdown(&Err(std::io::ErrorKind::NotFound.into())).state, State::Ok);
    }

    #[test]
    fn namespaces() {
        assert_eq!(pid_namespace(PidNamespace::Initial).state, State::Ok);
        let own = pid_namespace(PidNamespace::Own { inode: 1 });
        assert!(own.state == State::Limited && own.remedy.contains("--pid=host"));
        assert_eq!(pid_namespace(PidNamespace::ForeignProc).state, State::Missing);
    }

    #[test]
    fn hooks_by_name() {
        let btf = b"\0btf_trace_sys_enter\0btf_trace_sys_exit\0sock_def_readable_x\0";
        assert!(btf_names(btf, "btf_trace_sys_exit"));
        assert!(!btf_names(btf, "sock_def_readable"));
        let [tracepoints, arrival] = hooks(btf).try_into().unwrap();
        assert_eq!((tracepoints.state, arrival.state), (State::Missing, State::Limited));
        assert!(tracepoints.detail.contains("tcp_destroy_sock") && !tracepoints.detail.contains("sys_exit"));
        let detail = |btf: &[u8]| hooks(btf).pop().unwrap().detail;
        assert_eq!(detail(b"\0sock_def_readable\0btf_trace_tcp_probe\0"), "sock_def_readable, else tcp_probe");
        assert_eq!(hooks(b"\0btf_trace_tcp_probe\0").pop().unwrap().state, State::Limited);
    }

    #[test]
    fn what_is_not_ok_has_a_remedy() {
        for check in checks() {
            assert_eq!(check.state == State::Ok, check.remedy.is_empty(), "{check:?}");
            assert!(!check.detail.is_empty() && !check.detail.contains('\n'), "{check:?}");
        }
    }
}
