//! From a descriptor of the current task to its `struct sock`: a walk without state, so that dup, fork and descriptor
//! passing need no bookkeeping.

use aya_ebpf::helpers::{bpf_get_current_task, bpf_get_current_task_btf};
use redtape_abi::{layout as index, option};

use crate::kernel::{field, kernel};
use crate::maps::{layout, option};

const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;

/// A descriptor that is a socket (of whatever family).
pub(crate) struct Walked {
    /// Address of the `struct sock`.
    pub sk: u64,
    /// Flags of the open file (`O_NONBLOCK`).
    pub file_flags: u32,
}

/// The socket behind descriptor `fd` of the current task.
#[inline(always)]
pub(crate) fn socket_of(fd: u32) -> Option<Walked> {
    let (max_fds, files) = fdtable();
    if fd >= max_fds {
        return None;
    }
    let file: u64 = kernel(files.wrapping_add(u64::from(fd) * 8));
    if file == 0 {
        return None;
    }
    let inode: u64 = field(file, index::FILE_INODE);
    if field::<u16>(inode, index::INODE_MODE) & S_IFMT != S_IFSOCK {
        return None;
    }
    let socket: u64 = field(file, index::FILE_PRIVATE);
    let sk: u64 = field(socket, index::SOCKET_SK);
    (sk != 0).then(|| Walked { sk, file_flags: field(file, index::FILE_FLAGS) })
}

/// Size and address of the current task's array of files.
#[inline(always)]
fn fdtable() -> (u32, u64) {
    if option(option::DIRECT) == 0 {
        let task = unsafe { bpf_get_current_task() };
        let fdt: u64 = field(field(task, index::TASK_FILES), index::FILES_FDT);
        return (field(fdt, index::FDTABLE_MAX), field(fdt, index::FDTABLE_FD));
    }
    // Plain loads, checked by the verifier against the kernel's types: a third cheaper than four probe reads.
    unsafe {
        let task = bpf_get_current_task_btf().cast::<u8>().cast_const();
        let files = task.add(layout(index::TASK_FILES)).cast::<*const u8>().read_volatile();
        let fdt = files.add(layout(index::FILES_FDT)).cast::<*const u8>().read_volatile();
        let max_fds = fdt.add(layout(index::FDTABLE_MAX)).cast::<u32>().read_volatile();
        let array = fdt.add(layout(index::FDTABLE_FD)).cast::<u64>().read_volatile();
        (max_fds, array)
    }
}
