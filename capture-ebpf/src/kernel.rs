//! Reading kernel and user memory, and who is calling.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_probe_read_kernel, bpf_probe_read_user};

use redtape_abi::layout as index;

use crate::maps::{FOLLOWED, PROBED, layout, option};

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

/// The current process and thread.
#[inline(always)]
pub(crate) fn current() -> (u32, u32) {
    let both = bpf_get_current_pid_tgid();
    ((both >> 32) as u32, both as u32)
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
    option(redtape_abi::option::FOLLOW_ALL) != 0 || FOLLOWED.get_ptr(tgid).is_some()
}

/// Whether the functions of a TLS library are probed in a process, see [`PROBED`].
#[inline(always)]
pub(crate) fn is_probed(tgid: u32, library: u8) -> bool {
    PROBED.get_ptr(tgid).is_some_and(|libraries| unsafe { *libraries } & 1 << library != 0)
}
