//! Loading and attaching the programs, and the maps they share with the recorder.

use std::os::fd::AsFd;
use std::time::Duration;

use aya::maps::{HashMap, MapData, PerCpuArray, ProgramArray, RingBuf};
use aya::programs::{BtfTracePoint, FEntry, ProgramError};
use aya::{Ebpf, EbpfLoader};
use redtape_abi::{Record, after, counter, lane, limits, option};

use super::btf::Btf;
use super::error::{LoadError, locked_down, missing_capabilities};
use super::functions::FunctionPrograms;
use super::offsets::{kernel_layout, kernel_options};
use super::skipped::skipped_runs;
use super::syscalls::call_table;
use crate::host::PidNamespace;

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!("../../bpf/redtape.bpf.o");
/// The tracepoints without which nothing is recorded, in the order to attach to them.
pub(crate) const TRACEPOINTS: [&str; 7] = [
    "sched_process_fork",
    "sched_process_exec",
    "sched_process_exit",
    "inet_sock_set_state",
    "tcp_destroy_sock",
    "sys_enter",
    "sys_exit",
];

/// What `sys_exit` goes on with.
const AFTER_SYS_EXIT: [(u32, &str); 2] = [(after::FRAMES, "sys_exit_frames"), (after::TLS, "sys_exit_tls")];

/// Records taken from the ring at a time, so that a busy host cannot keep the recorder from its other duties.
const DRAIN_MAX: usize = 64 << 10;

/// How much payload is kept, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadLimits {
    /// Of a direction since it last turned, at most [`limits::HEAD_BYTES_MAX`].
    pub head: u32,
    /// Of the start of a call that lies behind the head, at most [`limits::EDGE_BYTES_MAX`].
    pub prefix: u32,
    /// Of the end of a call that is not kept whole, at most [`limits::EDGE_BYTES_MAX`].
    pub tail: u32,
}

impl Default for PayloadLimits {
    fn default() -> Self {
        Self { head: limits::HEAD_BYTES_MAX, prefix: limits::EDGE_BYTES, tail: limits::EDGE_BYTES }
    }
}

/// How to load the programs.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    /// Size of the ring buffer in bytes: a power of two.
    pub ring_bytes: u32,
    /// How much payload is kept.
    pub payload: PayloadLimits,
    /// How many sockets can be followed at a time, at most [`limits::SOCKETS_MAX`].
    pub sockets: u32,
    /// Follow every process.
    pub follow_all: bool,
    /// Report every exec, also of processes that are not followed, so that they can be chosen.
    pub every_exec: bool,
    /// Report every listen, also of processes that are not followed, so that they can be chosen.
    pub every_listen: bool,
    /// Hooks that tell arrivals, in the order to try them.
    pub arrival_hooks: Vec<ArrivalHook>,
    /// Programs on functions of TLS libraries can be attached.
    pub tls: bool,
    /// The pid namespace whose processes can be followed, by its ids.
    pub pid_namespace: PidNamespace,
    /// Do without the helpers that Linux 5.10 lacks, where the kernel has them too: for tests.
    pub plain_helpers: bool,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self {
            ring_bytes: limits::RING_BYTES,
            payload: PayloadLimits::default(),
            sockets: limits::SOCKETS_MAX,
            follow_all: false,
            every_exec: true,
            every_listen: true,
            arrival_hooks: ArrivalHook::PREFERENCE.to_vec(),
            tls: false,
            pid_namespace: PidNamespace::current(),
            plain_helpers: false,
        }
    }
}

/// What tells when bytes became readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrivalHook {
    /// The tracepoint `sk_data_ready` (from Linux 6.3 on).
    DataReady,
    /// The function `sock_def_readable`.
    DefReadable,
    /// The tracepoint `tcp_probe`: no ends of streams, nothing on half-closed sockets.
    TcpProbe,
    /// Nothing: queue times are not known.
    None,
}

impl ArrivalHook {
    /// Those that tell something, the best first.
    pub const PREFERENCE: [Self; 3] = [Self::DataReady, Self::DefReadable, Self::TcpProbe];

    /// Its name, as the tape notes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DataReady => "sk_data_ready",
            Self::DefReadable => "sock_def_readable",
            Self::TcpProbe => "tcp_probe",
            Self::None => "none",
        }
    }
}

/// What was produced and lost since loading, over all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records, delivered and lost.
    pub produced: u64,
    /// Records that found the ring buffer full.
    pub ring_full: u64,
    /// Those of them that programs on functions of TLS libraries made.
    pub tls_ring_full: u64,
    /// Sockets, threads, processes and listeners that found their table full and were not followed.
    pub map_full: u64,
    /// Calls whose payload could not be copied.
    pub fault: u64,
    /// Calls whose message headers could not be read in full.
    pub bad_argument: u64,
    /// Segments that arrived out of order (only with [`ArrivalHook::TcpProbe`]).
    pub out_of_order: u64,
    /// Records taken from the ring.
    pub delivered: u64,
    /// Records taken from the ring that could not be decoded.
    pub malformed: u64,
}

/// How far a CPU's lane is: every record below `next` is delivered, still in the ring, or lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanePosition {
    /// The CPU.
    pub cpu: u16,
    /// One of [`redtape_abi::lane`].
    pub lane: u8,
    /// The number that the next record gets.
    pub next: u64,
}

/// The loaded and attached programs. Dropping them detaches all.
pub struct Probes {
    ring: RingBuf<MapData>,
    followed: HashMap<MapData, u32, u32>,
    listeners: HashMap<MapData, u64, u32>,
    counters: PerCpuArray<MapData, [u64; counter::COUNT]>,
    arrival: ArrivalHook,
    functions: Option<Result<(FunctionPrograms, RingBuf<MapData>), LoadError>>,
    delivered: u64,
    malformed: u64,
    drained: bool,
    programs: Ebpf,
}

impl Probes {
    /// Loads and attaches the programs. Nothing is recorded until a process is followed.
    ///
    /// # Errors
    /// [`LoadError`] says what the host lacks.
    pub fn load(options: &ProbeOptions) -> Result<Self, LoadError> {
        if !options.ring_bytes.is_power_of_two() || options.ring_bytes < 4096 {
            return Err(LoadError::RingSize { bytes: options.ring_bytes });
        }
        let bytes = std::fs::read(VMLINUX).map_err(|source| LoadError::NoBtf { path: VMLINUX, source })?;
        let btf = Btf::parse(bytes)?;
        let kernel = aya::Btf::from_sys_fs().map_err(|source| LoadError::Object(source.into()))?;
        let (layout, switches, calls) = (kernel_layout(&btf)?, switches(options, &btf), call_table());
        let scratches = if options.tls { limits::TLS_SCRATCHES } else { 1 };
        let mut programs = EbpfLoader::new()
            .btf(Some(&kernel))
            .override_global("LAYOUT", &layout, true)
            .override_global("OPTIONS", &switches, true)
            .override_global("CALLS", &calls, true)
            .map_max_entries("RECORDS", options.ring_bytes)
            .map_max_entries("TLS_SCRATCH", scratches)
            .map_max_entries("TLS_FREE", scratches)
            .map_max_entries("SOCKETS", options.sockets.clamp(1, limits::SOCKETS_MAX))
            .load(OBJECT)
            .map_err(object_error)?;
        // Where these are refused, the rest is recorded all the same.
        let functions = options.tls.then(|| {
            let functions = FunctionPrograms::load(&mut programs, scratches)?;
            Ok((functions, take(&mut programs, "LIVES")?))
        });
        let ring = take(&mut programs, "RECORDS")?;
        let followed = take(&mut programs, "FOLLOWED")?;
        let listeners = take(&mut programs, "LISTENERS")?;
        let counters = take(&mut programs, "COUNTERS")?;
        let arrival = attach_all(&mut programs, &kernel, &btf, &options.arrival_hooks)?;
        let (delivered, malformed, drained) = (0, 0, false);
        Ok(Self { ring, followed, listeners, counters, arrival, functions, delivered, malformed, drained, programs })
    }

    /// Follows a process: its calls and the sockets it uses from now on, and its children.
    ///
    /// # Errors
    /// If the table of processes is full.
    pub fn follow(&mut self, tgid: u32) -> Result<(), aya::maps::MapError> {
        self.followed.insert(tgid, 1, 0)
    }

    /// The programs on functions and the ring of [`redtape_abi::Life`], or why they could not be loaded; once, and only if
    /// they were asked for.
    pub(crate) fn take_functions(&mut self) -> Option<Result<(FunctionPrograms, RingBuf<MapData>), LoadError>> {
        self.functions.take()
    }

    /// No longer follows a process; one that is not followed is fine, too.
    pub fn unfollow(&mut self, tgid: u32) {
        let _not_followed = self.followed.remove(&tgid);
    }

    /// Follows the connections that arrive at a listener of a followed process. Call it once for each of its listening
    /// sockets that is older than the recording; younger ones are noticed.
    ///
    /// # Errors
    /// If the table of listeners is full.
    pub fn follow_listener(&mut self, netns: u32, port: u16) -> Result<(), aya::maps::MapError> {
        let key = u64::from(netns) << 32 | u64::from(port);
        let listeners = self.listeners.get(&key, 0).unwrap_or(0);
        self.listeners.insert(key, listeners.saturating_add(1), 0)
    }

    /// Connections that come in at this port are not wanted any longer.
    pub fn unfollow_listener(&mut self, netns: u32, port: u16) {
        // One that is not there was removed by the programs, when its last listener was closed.
        let _not_there = self.listeners.remove(&(u64::from(netns) << 32 | u64::from(port)));
    }

    /// Takes what the ring buffer has, oldest first, at most 65,536 records. Does not wait.
    ///
    /// Returns how many it took; 0 means that the ring is empty.
    pub fn drain(&mut self, each: &mut impl FnMut(Record<'_>)) -> usize {
        let mut taken = 0;
        self.drained = false;
        while taken < DRAIN_MAX {
            let Some(item) = self.ring.next() else {
                self.drained = true;
                break;
            };
            taken += 1;
            match Record::decode(&item) {
                Ok(record) => each(record),
                Err(_) => self.malformed += 1,
            }
        }
        self.delivered += taken as u64;
        taken
    }

    /// Whether the last [`Probes::drain`] came to the end of the ring buffer.
    pub const fn is_drained(&self) -> bool {
        self.drained
    }

    /// Waits until much is waiting in the ring buffer, or the time is over. The programs wake the reader only from
    /// [`limits::WAKE_BYTES`] on, so drain after each wait, with a timeout of about 10 ms.
    pub fn wait(&self, timeout: Duration) {
        let timeout = rustix::time::Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let ring = self.ring.as_fd();
        // A signal ends the wait early, which is as good as its end.
        let _interrupted =
            rustix::event::poll(&mut [rustix::event::PollFd::new(&ring, rustix::event::PollFlags::IN)], Some(&timeout));
    }

    /// What was produced and lost so far.
    pub fn counters(&self) -> Counters {
        let mut sum = Counters { delivered: self.delivered, malformed: self.malformed, ..Counters::default() };
        for cpu in self.per_cpu() {
            let lanes = |from: usize| cpu[from..from + lane::COUNT].iter().sum::<u64>();
            sum.produced += lanes(counter::PRODUCED);
            sum.ring_full += lanes(counter::RING_FULL);
            sum.tls_ring_full += cpu[counter::RING_FULL + usize::from(lane::TLS)];
            sum.map_full += cpu[counter::MAP_FULL];
            sum.fault += cpu[counter::FAULT];
            sum.bad_argument += cpu[counter::BAD_ARGUMENT];
            sum.out_of_order += cpu[counter::OUT_OF_ORDER];
        }
        sum
    }

    /// How far each lane of each CPU is: where records are missing after the ring was drained, they are lost.
    pub fn lane_positions(&self) -> Vec<LanePosition> {
        let mut positions = Vec::new();
        for (cpu, counters) in (0..).zip(self.per_cpu()) {
            for (lane, &next) in (0..).zip(&counters[counter::PRODUCED..counter::PRODUCED + lane::COUNT]) {
                positions.push(LanePosition { cpu, lane, next });
            }
        }
        positions
    }

    /// How often the kernel did not run a program, because it would have interrupted itself; None if the kernel does not
    /// tell. This reads a file for each program: ask once a second, not once a millisecond.
    pub fn skipped_runs(&self) -> Option<u64> {
        skipped_runs(&self.programs)
    }

    /// What tells arrivals on this kernel.
    pub const fn arrival_hook(&self) -> ArrivalHook {
        self.arrival
    }

    fn per_cpu(&self) -> Vec<[u64; counter::COUNT]> {
        self.counters.get(&0, 0).map(|values| values.to_vec()).unwrap_or_default()
    }
}

/// `OPTIONS`.
fn switches(options: &ProbeOptions, btf: &Btf) -> [u32; option::COUNT] {
    let mut switches = [0; option::COUNT];
    switches[option::FOLLOW_ALL] = u32::from(options.follow_all);
    switches[option::EXEC_ALL] = u32::from(options.every_exec);
    switches[option::LISTEN_ALL] = u32::from(options.every_listen);
    switches[option::TLS] = u32::from(options.tls);
    switches[option::HEAD_BYTES] = options.payload.head.min(limits::HEAD_BYTES_MAX);
    switches[option::PREFIX_BYTES] = options.payload.prefix.min(limits::EDGE_BYTES_MAX);
    switches[option::TAIL_BYTES] = options.payload.tail.min(limits::EDGE_BYTES_MAX);
    switches[option::WAKE_BYTES] = limits::WAKE_BYTES.min(options.ring_bytes / 4);
    if let PidNamespace::Own { inode } = options.pid_namespace {
        switches[option::PID_NS_INODE] = inode;
    }
    if !options.plain_helpers {
        kernel_options(btf, &mut switches);
    }
    switches
}

pub(super) fn take<T: TryFrom<aya::maps::Map>>(programs: &mut Ebpf, name: &'static str) -> Result<T, LoadError> {
    programs.take_map(name).and_then(|map| map.try_into().ok()).ok_or(LoadError::Map(name))
}

/// Says what lies behind a refused object, where that is known.
fn object_error(source: aya::EbpfError) -> LoadError {
    let missing = missing_capabilities();
    if !missing.is_empty() {
        return LoadError::Capabilities { missing };
    }
    let error = LoadError::Object(source);
    let text = error.to_string();
    if text.contains("Operation not permitted") { LoadError::Memlock(text) } else { error }
}

/// Says what lies behind a refused program, where that is known.
pub(super) fn program_error(program: &'static str, source: ProgramError) -> LoadError {
    let missing = missing_capabilities();
    if !missing.is_empty() {
        return LoadError::Capabilities { missing };
    }
    if locked_down() { LoadError::Lockdown } else { LoadError::Program { program, source } }
}

/// Attaches everything; calls come last, when whatever they rely on is there.
fn attach_all(
    programs: &mut Ebpf,
    kernel: &aya::Btf,
    btf: &Btf,
    hooks: &[ArrivalHook],
) -> Result<ArrivalHook, LoadError> {
    let arrival = hooks.iter().copied().find(|&hook| attach_arrival(programs, hook, btf, kernel));
    for (number, name) in AFTER_SYS_EXIT {
        load_after_sys_exit(programs, kernel, number, name).map_err(|source| program_error(name, source))?;
    }
    for name in TRACEPOINTS {
        attach_tracepoint(programs, name, kernel).map_err(|source| program_error(name, source))?;
    }
    Ok(arrival.unwrap_or(ArrivalHook::None))
}

/// Loads a program that `sys_exit` goes on with.
fn load_after_sys_exit(programs: &mut Ebpf, kernel: &aya::Btf, number: u32, name: &str) -> Result<(), ProgramError> {
    let program = programs.program_mut(name).ok_or(ProgramError::UnexpectedProgramType)?;
    let program: &mut BtfTracePoint = program.try_into()?;
    program.load("sys_exit", kernel)?;
    go_on_with(programs, "AFTER_SYS_EXIT", number, name)
}

/// Lets programs go on with another one, by the array that they look for it in.
pub(super) fn go_on_with(programs: &mut Ebpf, array: &str, number: u32, program: &str) -> Result<(), ProgramError> {
    let fd = programs.program(program).ok_or(ProgramError::UnexpectedProgramType)?.fd()?.try_clone()?;
    let array = programs.map_mut(array).ok_or(ProgramError::UnexpectedProgramType)?;
    ProgramArray::try_from(array)?.set(number, &fd, 0)?;
    Ok(())
}

fn attach_tracepoint(programs: &mut Ebpf, name: &str, kernel: &aya::Btf) -> Result<(), ProgramError> {
    let program = programs.program_mut(name).ok_or(ProgramError::UnexpectedProgramType)?;
    let program: &mut BtfTracePoint = program.try_into()?;
    program.load(name, kernel)?;
    program.attach()?;
    Ok(())
}

/// Tries a hook. Whether functions can be traced is only known by trying.
fn attach_arrival(programs: &mut Ebpf, hook: ArrivalHook, btf: &Btf, kernel: &aya::Btf) -> bool {
    let name = hook.name();
    match hook {
        ArrivalHook::None => true,
        ArrivalHook::DataReady | ArrivalHook::TcpProbe => {
            btf.has_tracepoint(name) && attach_tracepoint(programs, name, kernel).is_ok()
        }
        ArrivalHook::DefReadable => btf.has_function(name) && attach_function(programs, name, kernel).is_ok(),
    }
}

fn attach_function(programs: &mut Ebpf, name: &str, kernel: &aya::Btf) -> Result<(), ProgramError> {
    let program = programs.program_mut(name).ok_or(ProgramError::UnexpectedProgramType)?;
    let program: &mut FEntry = program.try_into()?;
    program.load(name, kernel)?;
    program.attach()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::OBJECT;

    /// See the rules in capture-ebpf/src/main.rs.
    #[test]
    fn programs_call_no_functions() {
        const CALL: u8 = 0x85;
        const OF_THE_PROGRAM: u8 = 1;
        let object = aya_obj::Object::parse(OBJECT).unwrap();
        assert!(object.programs.contains_key("sys_exit"));
        for (&(section, offset), function) in &object.functions {
            let calls = function.instructions.iter().filter(|it| it.code == CALL && it.src_reg() == OF_THE_PROGRAM);
            assert_eq!(calls.count(), 0, "{} (section {section}, offset {offset})", function.name);
        }
    }
}
