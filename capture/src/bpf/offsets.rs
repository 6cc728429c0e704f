//! What the programs must know of the running kernel: the values of their read-only data.

use redtape_abi::{layout, option};

use super::btf::Btf;
use super::error::LoadError;

/// Offsets in the x86-64 `pt_regs`: the call's number and its six arguments, which are still there at its exit, the stack
/// pointer, and what Go passes in registers: ax, bx, cx, and the goroutine in r14.
#[cfg(target_arch = "x86_64")]
const REGISTERS: [u32; 12] = [120, 112, 104, 96, 56, 72, 64, 152, 80, 40, 88, 8];
/// The same of arm64, where `orig_x0` keeps the first argument.
#[cfg(target_arch = "aarch64")]
const REGISTERS: [u32; 12] = [280, 272, 8, 16, 24, 32, 40, 248, 0, 8, 16, 224];

/// `LAYOUT`: the offsets of the fields that the programs read.
///
/// # Errors
/// [`LoadError::Field`] if the kernel's type information lacks one.
pub(crate) fn kernel_layout(btf: &Btf) -> Result<[u32; layout::COUNT], LoadError> {
    let mut offsets = [layout::ABSENT; layout::COUNT];
    for (offset, name) in offsets.iter_mut().zip(layout::NAMES) {
        // `stringify!` is free to put blanks around the dot.
        let name: String = name.split_whitespace().collect();
        let found = name.split_once('.').and_then(|(structure, member)| btf.member(structure, member));
        *offset = found.ok_or(LoadError::Field { name })?;
    }
    for (offset, register) in offsets[layout::REGS_NR..].iter_mut().zip(REGISTERS) {
        *offset = register;
    }
    offsets[layout::TASK_COMPAT] = compat_word(btf);
    Ok(offsets)
}

/// Where x86 marks a task that is in a 32-bit call, whose numbers mean other calls.
fn compat_word(btf: &Btf) -> u32 {
    if !cfg!(target_arch = "x86_64") {
        return layout::ABSENT;
    }
    let found = btf.member("task_struct", "thread_info").zip(btf.member("thread_info", "status"));
    found.map_or(layout::ABSENT, |(info, status)| info + status)
}

/// Sets the options that follow from what the kernel's tracing programs may call.
pub(crate) fn kernel_options(btf: &Btf, options: &mut [u32; option::COUNT]) {
    options[option::DIRECT] = u32::from(btf.has_function("bpf_get_current_task_btf"));
    options[option::COOKIE] = u32::from(btf.has_function("bpf_get_socket_ptr_cookie"));
}
