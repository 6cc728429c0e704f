//! Reading kernel and user memory, and who is calling.

use aya_ebpf::bindings::bpf_pidns_info;
use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_ns_current_pid_tgid, bpf_probe_read_kernel,
    bpf_probe_read_user,
};

use redtape_abi::{layout as index, option};

use crate::maps::{FOLLOWED, PROBED, layout, option};

/// Size of `struct upid`: a number, and the address of the namespace that it is of.
const UPID_SIZE: u64 = 16;

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

/// The current process and thread, by their ids in the recorder's pid namespace. Zeros if they are in another one than that: a
/// process that cannot be chosen.
#[inline(always)]
pub(crate) fn current() -> (u32, u32) {
    let inode = option(option::PID_NS_INODE);
    if inode == 0 {
        let both = bpf_get_current_pid_tgid();
        return ((both >> 32) as u32, both as u32);
    }
    let mut ids = bpf_pidns_info { pid: 0, tgid: 0 };
    let device = option(option::PID_NS_DEVICE);
    // Where it fails, it fills in zeros.
    let _other_namespace = unsafe {
        bpf_get_ns_current_pid_tgid(device.into(), inode.into(), &raw mut ids, size_of::<bpf_pidns_info>() as u32)
    };
    (ids.tgid, ids.pid)
}

/// The current thread by the kernel's own number, whatever its pid namespace: what tables of threads go by.
#[inline(always)]
pub(crate) fn thread_key() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// The process id of `child`, the first thread of a process that the current one has just made, in the recorder's pid
/// namespace, which the current one is in. None if the child is in one further in.
#[inline(always)]
pub(crate) fn child_id(child: u64) -> Option<u32> {
    if option(option::PID_NS_INODE) == 0 {
        return Some(field(child, index::TASK_TGID));
    }
    // A child's namespace is its parent's, or one further in.
    let parent: u64 = field(unsafe { bpf_get_current_task() }, index::TASK_THREAD_PID);
    let own: u64 = field(child, index::TASK_THREAD_PID);
    let level: u32 = field(own, index::PID_LEVEL);
    if level != field::<u32>(parent, index::PID_LEVEL) {
        return None;
    }
    let number = own + layout(index::PID_NUMBERS) as u64 + u64::from(level) * UPID_SIZE;
    Some(field(number, index::UPID_NR))
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
