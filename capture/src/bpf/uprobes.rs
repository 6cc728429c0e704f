//! The system calls that put programs on functions, as far as no crate has a safe form of them. All of the recorder's unsafe
//! code is here: what the kernel is given are plain values and memory that outlives the call.
#![expect(unsafe_code, reason = "bpf(2) and perf_event_open(2) take structures by address")]

use std::ffi::{CStr, c_int};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use aya_obj::generated::bpf_insn;

/// `enum bpf_cmd` of include/uapi/linux/bpf.h.
const BPF_MAP_UPDATE_ELEM: c_int = 2;
const BPF_PROG_LOAD: c_int = 5;
const BPF_LINK_CREATE: c_int = 28;
/// `enum bpf_prog_type`.
const BPF_PROG_TYPE_KPROBE: u32 = 2;
/// `enum bpf_attach_type`.
const BPF_TRACE_UPROBE_MULTI: u32 = 48;
/// Flag of `link_create.uprobe_multi`.
const RETURN: u32 = 1;

/// `PERF_EVENT_IOC_SET_BPF` of include/uapi/linux/perf_event.h.
const SET_BPF: libc::Ioctl = 0x4004_2408;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;

/// `union bpf_attr`, as `BPF_MAP_UPDATE_ELEM` begins.
#[repr(C)]
struct MapUpdate {
    map_fd: u32,
    reserved: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// `union bpf_attr`, as `BPF_PROG_LOAD` begins.
#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

/// `union bpf_attr`, as `BPF_LINK_CREATE` of a uprobe_multi link begins.
#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    path: u64,
    offsets: u64,
    ref_ctr_offsets: u64,
    cookies: u64,
    cnt: u32,
    uprobe_flags: u32,
    pid: u32,
    reserved: u32,
}

/// `struct perf_event_attr`, as of `PERF_ATTR_SIZE_VER1`.
#[repr(C)]
#[derive(Default)]
struct PerfEventAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    uprobe_path: u64,
    probe_offset: u64,
}

/// Loads a program of which one link can be at many places. Its license is the object's.
pub(super) fn load(name: &str, license: &CStr, instructions: &[bpf_insn]) -> io::Result<OwnedFd> {
    let mut prog_name = [0; 16];
    // The last byte stays zero.
    for (to, from) in prog_name.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    owned(bpf(
        BPF_PROG_LOAD,
        &ProgLoad {
            prog_type: BPF_PROG_TYPE_KPROBE,
            insn_cnt: u32::try_from(instructions.len()).map_err(io::Error::other)?,
            insns: address(instructions.as_ptr()),
            license: address(license.as_ptr()),
            log_level: 0,
            log_size: 0,
            log_buf: 0,
            kern_version: 0,
            prog_flags: 0,
            prog_name,
            prog_ifindex: 0,
            expected_attach_type: BPF_TRACE_UPROBE_MULTI,
        },
    )?)
}

/// Puts a program into an array of programs: those of its own kind can go on with it.
pub(super) fn go_on_with(array: &impl AsFd, place: u32, program: &impl AsFd) -> io::Result<()> {
    let value = number(program)?;
    let (key, value) = (address(&raw const place), address(&raw const value));
    bpf(BPF_MAP_UPDATE_ELEM, &MapUpdate { map_fd: number(array)?, reserved: 0, key, value, flags: 0 })?;
    Ok(())
}

/// Puts a program at these offsets of a file, or on the returns of the functions there, for one process.
pub(super) fn link(program: &impl AsFd, returns: bool, path: &CStr, offsets: &[u64], tgid: u32) -> io::Result<OwnedFd> {
    owned(bpf(
        BPF_LINK_CREATE,
        &LinkCreate {
            prog_fd: number(program)?,
            target_fd: 0,
            attach_type: BPF_TRACE_UPROBE_MULTI,
            flags: 0,
            path: address(path.as_ptr()),
            offsets: address(offsets.as_ptr()),
            ref_ctr_offsets: 0,
            cookies: 0,
            cnt: u32::try_from(offsets.len()).map_err(io::Error::other)?,
            uprobe_flags: if returns { RETURN } else { 0 },
            pid: tgid,
            reserved: 0,
        },
    )?)
}

/// Puts a program at one offset of a file, for one process, by an event of the `uprobe` PMU, whose number is `pmu`.
pub(super) fn event(
    program: &impl AsFd,
    (pmu, config): (u32, u64),
    path: &CStr,
    offset: u64,
    tgid: u32,
) -> io::Result<OwnedFd> {
    let attr = PerfEventAttr {
        kind: pmu,
        size: size_of::<PerfEventAttr>() as u32,
        config,
        uprobe_path: address(path.as_ptr()),
        probe_offset: offset,
        ..PerfEventAttr::default()
    };
    let pid = c_int::try_from(tgid).map_err(io::Error::other)?;
    // SAFETY: `attr` has the size that it says, and it and the path outlive the call.
    let event = owned(checked(unsafe {
        libc::syscall(libc::SYS_perf_event_open, &raw const attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC)
    })?)?;
    // SAFETY: both descriptors are open.
    let done = unsafe { libc::ioctl(event.as_raw_fd(), SET_BPF, program.as_fd().as_raw_fd()) };
    checked(done.into())?;
    Ok(event)
}

fn bpf<T>(command: c_int, attr: &T) -> io::Result<libc::c_long> {
    // SAFETY: `attr` is as large as is said, the commands above only read it, and what it points to outlives the call.
    checked(unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attr, size_of::<T>()) })
}

fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A descriptor that a call has returned.
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = c_int::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor, for its caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn number(fd: &impl AsFd) -> io::Result<u32> {
    u32::try_from(fd.as_fd().as_raw_fd()).map_err(io::Error::other)
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.addr() as u64
}
