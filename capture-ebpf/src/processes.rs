//! The life of processes: children inherit being followed, before they can make a call.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::generated::{bpf_get_current_comm, bpf_probe_read_kernel_str};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use redtape_abi::{Exec, Process, counter, kind, lane, layout as index, option};

use crate::emit::{self, count, now};
use crate::kernel::{child_id, current, field, is_followed, kernel, thread_key};
use crate::maps::{FOLLOWED, FOLLOWED_ONLY, PROBED, THREADS, TLS_THREADS, layout, option};

/// `sched_process_fork(parent, child)`: of threads, too.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn sched_process_fork(ctx: BtfTracePointContext) -> i32 {
    let child: *const u8 = ctx.arg(1);
    let child = core::hint::black_box(child as u64);
    // The parent is who calls.
    let (parent, _) = current();
    let is_thread = field::<u32>(child, index::TASK_PID) != field::<u32>(child, index::TASK_TGID);
    if is_thread || !is_followed(parent) {
        return 0;
    }
    let Some(tgid) = child_id(child) else { return 0 };
    if FOLLOWED.insert(tgid, FOLLOWED_ONLY, u64::from(BPF_ANY)).is_err() {
        count(counter::MAP_FULL);
    }
    emit::tell(kind::FORK, tgid, parent);
    report(kind::FORK, lane::PROCESS, tgid, parent, true);
    0
}

/// `sched_process_exec(task, old_pid, bprm)`
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(ctx: BtfTracePointContext) -> i32 {
    let (tgid, _) = current();
    let old_pid: i32 = ctx.arg(1);
    if old_pid.cast_unsigned() != thread_key() {
        let _gone = THREADS.remove(old_pid.cast_unsigned());
        let _gone = TLS_THREADS.remove(old_pid.cast_unsigned());
    }
    if tgid == 0 {
        return 0;
    }
    if let Some(state) = FOLLOWED.get_ptr_mut(tgid) {
        unsafe { *state = FOLLOWED_ONLY };
    }
    let followed = is_followed(tgid);
    if followed {
        let _none = PROBED.remove(tgid);
        emit::tell(kind::EXEC, tgid, 0);
    }
    if followed || option(option::EXEC_ALL) != 0 {
        let bprm: *const u8 = ctx.arg(2);
        let interp: u64 = field(core::hint::black_box(bprm as u64), index::BPRM_INTERP);
        let header = emit::header(kind::EXEC, lane::PROCESS, now());
        // One that is to be chosen is to be chosen before it uses its TLS library.
        if !followed && option(option::TLS) != 0 {
            emit::send_at_once::<Exec>(lane::PROCESS, header, |entry| fill(entry, tgid, followed, interp));
        } else {
            emit::send::<Exec>(lane::PROCESS, header, |entry| fill(entry, tgid, followed, interp));
        }
    }
    0
}

/// `sched_process_exit(task)`, for each thread.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    // Before anything else: the thread may have been followed once.
    let _gone = THREADS.remove(thread_key());
    let _gone = TLS_THREADS.remove(thread_key());
    let (tgid, _) = current();
    if !is_followed(tgid) {
        return 0;
    }
    let task: *const u8 = ctx.arg(0);
    let task = core::hint::black_box(task as u64);
    let signal: u64 = field(task, index::TASK_SIGNAL);
    let live: i32 = kernel(signal.wrapping_add(layout(index::SIGNAL_LIVE) as u64));
    if live <= 0 {
        let _gone = FOLLOWED.remove(tgid);
        let _none = PROBED.remove(tgid);
        report(kind::EXIT, lane::PROCESS, tgid, 0, true);
    }
    0
}

/// What a process runs now, for the case that it is gone before `/proc` is read. Written in the ring's memory.
#[inline(always)]
fn fill(exec: &mut MaybeUninit<Exec>, tgid: u32, followed: bool, interp: u64) {
    let exec = exec.as_mut_ptr();
    unsafe {
        (*exec).tgid = tgid;
        (*exec).followed = u32::from(followed);
        let (comm, exe) = (&raw mut (*exec).comm, &raw mut (*exec).exe);
        // Where they fail, they fill in zeros.
        let _always_there = bpf_get_current_comm(comm.cast(), size_of_val(&*comm) as u32);
        let _length = bpf_probe_read_kernel_str(exe.cast(), size_of_val(&*exe) as u32, interp as *const _);
    }
}

/// Sends what happened to a process.
#[inline(always)]
pub(crate) fn report(kind: u8, lane: u8, tgid: u32, parent: u32, followed: bool) {
    let header = emit::header(kind, lane, now());
    emit::send::<Process>(lane, header, |entry| {
        entry.write(Process { header, tgid, parent, followed: u32::from(followed), reserved: 0 });
    });
}
