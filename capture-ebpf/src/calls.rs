//! Entry and exit of system calls. At the exit the registers still hold the arguments, so the entry only notes the time.

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use redtape_abi::{call, counter, kind, lane, layout as index};

use crate::control;
use crate::emit::{self, count, now};
use crate::kernel::{current, in_compat_call, is_followed, thread_key};
use crate::maps::{FOLLOWED, FOLLOWED_ONLY, THREADS, Thread, USES_IO_URING, call_of, layout};
use crate::processes;
use crate::transfer;

/// A call that has returned.
pub(crate) struct Call {
    /// One of [`redtape_abi::call`].
    pub number: u8,
    pub tgid: u32,
    pub tid: u32,
    pub entry: u64,
    pub exit: u64,
    pub loop_turn: u32,
    /// What it returned.
    pub ret: i64,
    pub regs: *const u8,
}

impl Call {
    /// Argument `n`, as it was passed.
    #[inline(always)]
    pub(crate) fn arg(&self, n: usize) -> u64 {
        register(self.regs, index::REGS_ARGS + n)
    }
}

#[inline(always)]
fn register(regs: *const u8, index: usize) -> u64 {
    unsafe { regs.add(layout(index)).cast::<u64>().read_volatile() }
}

/// `sys_enter(regs, id)`
#[btf_tracepoint(function = "sys_enter")]
pub fn sys_enter(ctx: BtfTracePointContext) -> i32 {
    let number = call_of(ctx.arg(1));
    if number == call::NONE {
        return 0;
    }
    let (tgid, tid) = current();
    if !is_followed(tgid) || in_compat_call() {
        return 0;
    }
    match number {
        // A descriptor is gone when close returns, so it is looked at here.
        call::CLOSE => control::closing(&started(&ctx, number, tgid, tid)),
        call::EPOLL_WAIT | call::MMAP => {}
        call::IO_URING_ENTER | call::IO_URING_SETUP => uses_io_uring(tgid),
        _ => enter(now()),
    }
    0
}

/// `sys_exit(regs, ret)`
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    let regs: *const u8 = ctx.arg(0);
    let number = call_of(register(regs, index::REGS_NR));
    if number == call::NONE {
        return 0;
    }
    let (tgid, tid) = current();
    if !is_followed(tgid) || in_compat_call() {
        return 0;
    }
    let ret: i64 = ctx.arg(1);
    match number {
        call::EPOLL_WAIT | call::IO_URING_ENTER => turned(),
        call::CLOSE | call::IO_URING_SETUP => {}
        call::MMAP => mapped(regs, ret, tgid),
        call::ACCEPT if ret >= 0 => control::accepted(&returned(regs, number, ret, tgid, tid)),
        call::CONNECT => control::connected(&returned(regs, number, ret, tgid, tid)),
        call::SHUTDOWN if ret == 0 => control::shut(&returned(regs, number, ret, tgid, tid)),
        call::READ..=call::SPLICE if ret >= 0 => transfer::moved(&ctx, &returned(regs, number, ret, tgid, tid)),
        _ => {}
    }
    0
}

/// What `sys_exit` goes on with for a call that moved HTTP/2 frames.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_frames(_ctx: BtfTracePointContext) -> i32 {
    transfer::moved_frames();
    0
}

/// What `sys_exit` goes on with where TLS libraries are seen into: the call may have moved TLS records.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_tls(ctx: BtfTracePointContext) -> i32 {
    transfer::moved_records(ctx.arg(0));
    0
}

/// A call that is being entered.
#[inline(always)]
fn started(ctx: &BtfTracePointContext, number: u8, tgid: u32, tid: u32) -> Call {
    let loop_turn = THREADS.get_ptr(thread_key()).map_or(0, |thread| unsafe { (*thread).loop_turn });
    let time = now();
    Call { number, tgid, tid, entry: time, exit: time, loop_turn, ret: 0, regs: ctx.arg(0) }
}

/// A call that has just returned.
#[inline(always)]
fn returned(regs: *const u8, number: u8, ret: i64, tgid: u32, tid: u32) -> Call {
    let exit = now();
    let (mut entry, mut loop_turn) = (exit, 0);
    if let Some(thread) = THREADS.get_ptr_mut(thread_key()) {
        let thread = unsafe { &mut *thread };
        loop_turn = thread.loop_turn;
        if thread.entered != 0 {
            entry = thread.entered;
            thread.entered = 0;
        }
    }
    Call { number, tgid, tid, entry, exit, loop_turn, ret, regs }
}

#[inline(always)]
fn enter(time: u64) {
    if let Some(thread) = THREADS.get_ptr_mut(thread_key()) {
        unsafe { (*thread).entered = time };
    } else {
        add_thread(Thread { entered: time, loop_turn: 0, reserved: 0 });
    }
}

/// The thread returned from an event wait: the next turn of its loop begins.
#[inline(always)]
fn turned() {
    if let Some(thread) = THREADS.get_ptr_mut(thread_key()) {
        unsafe { (*thread).loop_turn = (*thread).loop_turn.wrapping_add(1) };
    } else {
        add_thread(Thread { entered: 0, loop_turn: 1, reserved: 0 });
    }
}

#[inline(always)]
fn add_thread(thread: Thread) {
    if THREADS.insert(thread_key(), thread, u64::from(BPF_ANY)).is_err() {
        count(counter::MAP_FULL);
    }
}

/// A library was mapped: the recorder looks at once whether it is one for TLS.
#[inline(always)]
fn mapped(regs: *const u8, ret: i64, tgid: u32) {
    const PROT_EXEC: u64 = 4;
    // Addresses of user memory are positive, errors are not.
    let of_file = register(regs, index::REGS_ARGS + 4) as i32 >= 0;
    if ret > 0 && of_file && register(regs, index::REGS_ARGS + 2) & PROT_EXEC != 0 {
        emit::tell(kind::MAPPED, tgid, 0);
    }
}

/// Says once for a process that it uses io_uring.
#[inline(always)]
fn uses_io_uring(tgid: u32) {
    let state = FOLLOWED.get_ptr(tgid).map_or(FOLLOWED_ONLY, |state| unsafe { *state });
    if state & USES_IO_URING == 0 && FOLLOWED.insert(tgid, state | USES_IO_URING, u64::from(BPF_ANY)).is_ok() {
        processes::report(kind::IO_URING, lane::CALL, tgid, 0, true);
    }
}
