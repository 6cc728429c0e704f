//! Maps, and the read-only data that the recorder fills in before loading.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, ProgramArray, RingBuf, Stack};
use redtape_abi::limits::{
    FOLLOWED_MAX, LISTENERS_MAX, LIVES_BYTES, RING_BYTES, SOCKETS_MAX, SYSCALLS_MAX, THREADS_MAX, TLS_GOROUTINES_MAX,
    TLS_OBJECTS_MAX, TLS_SCRATCHES, TLS_THREADS_MAX,
};
use redtape_abi::{after, counter, layout, option};

use crate::go_tls::GoCall;
use crate::payload::Scratch;
use crate::plaintext::Plaintext;
use crate::socket::Sock;
use crate::tls::{Object, Place, TlsThread};

#[unsafe(no_mangle)]
static LAYOUT: [u32; layout::COUNT] = [0; layout::COUNT];
#[unsafe(no_mangle)]
static OPTIONS: [u32; option::COUNT] = [0; option::COUNT];
#[unsafe(no_mangle)]
static CALLS: [u8; SYSCALLS_MAX] = [0; SYSCALLS_MAX];

/// An entry of `LAYOUT`. Read as volatile, or LLVM would take the initial value for granted.
#[inline(always)]
pub(crate) fn layout(index: usize) -> usize {
    unsafe { (&raw const LAYOUT[index]).read_volatile() as usize }
}

/// An entry of `OPTIONS`.
#[inline(always)]
pub(crate) fn option(index: usize) -> u32 {
    unsafe { (&raw const OPTIONS[index]).read_volatile() }
}

/// The call that a system call number stands for.
#[inline(always)]
pub(crate) fn call_of(number: u64) -> u8 {
    let number = core::hint::black_box(number);
    if number >= SYSCALLS_MAX as u64 {
        return redtape_abi::call::NONE;
    }
    unsafe { (&raw const CALLS).cast::<u8>().add(number as usize).read_volatile() }
}

/// What is remembered of a followed thread.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Thread {
    /// When it entered the call that it is in; 0 once the call has returned.
    pub entered: u64,
    /// How often it has returned from an event wait.
    pub loop_turn: u32,
    pub reserved: u32,
}

/// Records, to user space.
#[map]
pub(crate) static RECORDS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// What happens to followed processes, to who attaches to their TLS libraries.
#[map]
pub(crate) static LIVES: RingBuf = RingBuf::with_byte_size(LIVES_BYTES, 0);

/// The value of a followed process.
pub(crate) const FOLLOWED_ONLY: u32 = 1;
/// The bit that is set once a process was reported to use io_uring.
pub(crate) const USES_IO_URING: u32 = 2;

/// Followed processes, by tgid in the recorder's pid namespace: [`FOLLOWED_ONLY`] and [`USES_IO_URING`].
#[map]
pub(crate) static FOLLOWED: HashMap<u32, u32> = HashMap::with_max_entries(FOLLOWED_MAX, 0);

/// Followed processes of which the functions of TLS libraries are probed, all of them: a bit for each library, by its number. The
/// recorder sets it. With some of the probes alone, half of a conversation would be told as if it were all.
#[map]
pub(crate) static PROBED: HashMap<u32, u32> = HashMap::with_max_entries(FOLLOWED_MAX, 0);

/// Threads of followed processes, by the kernel's own tid, as all tables of threads: see `kernel::thread_key`.
#[map]
pub(crate) static THREADS: HashMap<u32, Thread> = HashMap::with_max_entries(THREADS_MAX, 0);

/// Followed sockets, by the address of their `struct sock`.
#[map]
pub(crate) static SOCKETS: HashMap<u64, Sock> = HashMap::with_max_entries(SOCKETS_MAX, 0);

/// Listeners of followed processes: how many there are, by network namespace (high half) and port.
#[map]
pub(crate) static LISTENERS: HashMap<u64, u32> = HashMap::with_max_entries(LISTENERS_MAX, 0);

/// TLS objects.
#[map]
pub(crate) static TLS_OBJECTS: LruHashMap<Place, Object> = LruHashMap::with_max_entries(TLS_OBJECTS_MAX, 0);

/// Threads that have called a TLS library, by tid.
#[map]
pub(crate) static TLS_THREADS: HashMap<u32, TlsThread> = HashMap::with_max_entries(TLS_THREADS_MAX, 0);

/// Goroutines that have called Go's crypto/tls, by the address of their `runtime.g`.
#[map]
pub(crate) static TLS_GOROUTINES: LruHashMap<Place, GoCall> = LruHashMap::with_max_entries(TLS_GOROUTINES_MAX, 0);

/// Plaintext that a function moved, by the thread that is about to return from it: what `tls_keep` makes a record of.
#[map]
pub(crate) static TLS_MOVED: HashMap<u32, Plaintext> = HashMap::with_max_entries(TLS_THREADS_MAX, 0);

/// Where records of plaintext are put together. A program on a function can be preempted by another one on the same CPU, so
/// there are some for all CPUs together, and `TLS_FREE` has the numbers of those that nobody uses.
#[map]
pub(crate) static TLS_SCRATCH: Array<Scratch> = Array::with_max_entries(TLS_SCRATCHES, 0);
#[map]
pub(crate) static TLS_FREE: Stack<u32> = Stack::with_max_entries(TLS_SCRATCHES, 0);

/// The programs that `sys_exit` goes on with, see [`after`].
#[map]
pub(crate) static AFTER_SYS_EXIT: ProgramArray = ProgramArray::with_max_entries(after::COUNT, 0);

/// The program that those on the return of TLS functions go on with where one moved plaintext.
#[map]
pub(crate) static AFTER_RETURN: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// What was produced and lost, see [`counter`].
#[map]
pub(crate) static COUNTERS: PerCpuArray<[u64; counter::COUNT]> = PerCpuArray::with_max_entries(1, 0);

/// Where data records are put together. Only the programs on system calls use it, and they do not nest.
#[map]
pub(crate) static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);
