//! Reading kernel and user memory, and who is calling.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_probe_read_kernel, bpf_probe_read_user};

use redtape_abi::{layout as index, option};

use crate::maps::{FOLLOWED, PROBED, layout, option};

/// Size of `struct upid`: a number, and the address of the namespace that it is of.
const UPID_SIZE: u64 = 16;

/// How deep pid namespaces can lie (include/linux/pid_namespace.h).
const MAX_PID_NS_LEVEL: u32 = 32;

/// A field of a kernel struct, by its index in `LAYOUT`; zero if the address is bad.
#[inline(always)]
pub(crate) fn field<T: Copy + Default>(base: u64, index: usize) -> T {
    kernel(base.wrapping_add(layout(index) as u64))
}

/// A value in kernel memory; zero if the address is bad.
#[inline(always)]
pub(crate) fn kernel<T: Copy + Default>(address: u64) -> T {
    unsafe { bpf_probe_read_kernel(address as *const T) }.unwrap_or_default()
}

/// A value in user memory, if it is resident.
#[inline(always)]
pub(crate) fn user<T>(address: u64) -> Option<T> {
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}

/// The current process and thread, by their ids in the recorder's pid namespace, which those of namespaces further in have, too.
/// Zeros if they have none there: a process that cannot be chosen.
#[inline(always)]
pub(crate) fn current() -> (u32, u32) {
    if option(option::PID_NS_INODE) == 0 {
        let both = bpf_get_current_pid_tgid();
        return ((both >> 32) as u32, both as u32);
    }
    let task = unsafe { bpf_get_current_task() };
    let thread: u64 = field(task, index::TASK_THREAD_PID);
    let Some(level) = recorder_level(thread) else { return (0, 0) };
    let leader: u64 = field(task, index::TASK_GROUP_LEADER);
    (number(field(leader, index::TASK_THREAD_PID), level), number(thread, level))
}

/// The current thread by the kernel's own number, whatever its pid namespace: what tables of threads go by.
#[inline(always)]
pub(crate) fn thread_key() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// The process id of `child`, the first thread of a process that was just made, in the recorder's pid namespace. None if it
/// has none there.
#[inline(always)]
pub(crate) fn child_id(child: u64) -> Option<u32> {
    if option(option::PID_NS_INODE) == 0 {
        return Some(field(child, index::TASK_TGID));
    }
    let pid: u64 = field(child, index::TASK_THREAD_PID);
    Some(number(pid, recorder_level(pid)?))
}

/// How many namespaces the recorder's lies within, if `pid` has a number in it. A `struct pid` has one in each namespace
/// from the initial one, at level 0, to its process's own (kernel/pid.c, pid_nr_ns).
#[inline(always)]
fn recorder_level(pid: u64) -> Option<u32> {
    let own: u32 = field(pid, index::PID_LEVEL);
    let mut level = 1;
    while level <= own && level <= MAX_PID_NS_LEVEL {
        let namespace: u64 = field(upid(pid, level), index::UPID_NS);
        let inode: u32 = field(namespace.wrapping_add(layout(index::PID_NAMESPACE_NS) as u64), index::NS_INUM);
        if inode == option(option::PID_NS_INODE) {
            return Some(level);
        }
        level += 1;
    }
    None
}

/// The number of `pid` in its namespace of this level.
#[inline(always)]
fn number(pid: u64, level: u32) -> u32 {
    field(upid(pid, level), index::UPID_NR)
}

#[inline(always)]
fn upid(pid: u64, level: u32) -> u64 {
    pid.wrapping_add(layout(index::PID_NUMBERS) as u64 + u64::from(level) * UPID_SIZE)
}

/// Whether the current task is in a 32-bit call, whose number means another call: such programs are not recorded.
#[inline(always)]
pub(crate) fn in_compat_call() -> bool {
    const TS_COMPAT: u32 = 2;
    let word = layout(index::TASK_COMPAT) as u32;
    word != index::ABSENT && field::<u32>(unsafe { bpf_get_current_task() }, index::TASK_COMPAT) & TS_COMPAT != 0
}

/// Whether a process is followed.
#[inline(always)]
pub(crate) fn is_followed(tgid: u32) -> bool {
    option(option::FOLLOW_ALL) != 0 && tgid != 0 || FOLLOWED.get_ptr(tgid).is_some()
}

/// Whether the functions of a TLS library are probed in a process, see [`PROBED`].
#[inline(always)]
pub(crate) fn is_probed(tgid: u32, library: u8) -> bool {
    PROBED.get_ptr(tgid).is_some_and(|libraries| unsafe { *libraries } & 1 << library != 0)
}
