//! Sending records: numbering, the header, and when to wake the reader.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns};
use aya_ebpf::maps::ring_buf::RingBufEntry;
use redtape_abi::{Header, Life, counter, option};

use crate::maps::{COUNTERS, LIVES, RECORDS, option};

const BPF_RB_AVAIL_DATA: u64 = 0;
const BPF_RB_NO_WAKEUP: u64 = 1;
const BPF_RB_FORCE_WAKEUP: u64 = 2;

/// Adds one to a counter of this CPU.
#[inline(always)]
pub(crate) fn count(index: usize) {
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        unsafe { (*counters)[index] += 1 };
    }
}

/// Counts a record of `lane` that found no room.
#[inline(always)]
pub(crate) fn ring_full(lane: u8) {
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        unsafe { (*counters)[counter::RING_FULL + lane as usize] += 1 };
    }
}

/// The header of the next record of `lane`. Its number is used up whether or not the record finds room.
#[inline(always)]
pub(crate) fn header(kind: u8, lane: u8, time: u64) -> Header {
    let mut seq = 0;
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        let produced = unsafe { &mut (*counters)[counter::PRODUCED + lane as usize] };
        seq = *produced;
        *produced = seq + 1;
    }
    Header { kind, lane, cpu: unsafe { bpf_get_smp_processor_id() } as u16, reserved: 0, seq, time }
}

/// How to publish: a wake-up costs more than the record, so the reader drains by a timer until much is waiting.
#[inline(always)]
pub(crate) fn wake_flags() -> u64 {
    if RECORDS.query(BPF_RB_AVAIL_DATA) >= u64::from(option(option::WAKE_BYTES)) {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    }
}

/// Sends a record of fixed size: `header`, and the rest, which `fill` writes in place. False if the ring is full; that is
/// counted.
#[inline(always)]
pub(crate) fn send<T: 'static>(lane: u8, header: Header, fill: impl FnOnce(&mut MaybeUninit<T>)) -> bool {
    publish(lane, header, wake_flags(), fill)
}

/// As [`send`], and wakes the reader: for what it has to act on.
#[inline(always)]
pub(crate) fn send_at_once<T: 'static>(lane: u8, header: Header, fill: impl FnOnce(&mut MaybeUninit<T>)) -> bool {
    publish(lane, header, BPF_RB_FORCE_WAKEUP, fill)
}

#[inline(always)]
fn publish<T: 'static>(lane: u8, header: Header, flags: u64, fill: impl FnOnce(&mut MaybeUninit<T>)) -> bool {
    let Some(mut entry) = reserve::<T>(lane) else { return false };
    fill(&mut entry);
    // Every record begins with its header.
    unsafe { entry.as_mut_ptr().cast::<Header>().write(header) };
    entry.submit(flags);
    true
}

/// Room for a record of `lane`. None if the ring is full; that is counted.
#[inline(always)]
pub(crate) fn reserve<T: 'static>(lane: u8) -> Option<RingBufEntry<T>> {
    let entry = RECORDS.reserve::<T>(0);
    if entry.is_none() {
        ring_full(lane);
    }
    entry
}

/// Tells what happened to a followed process to who attaches to its TLS library, if anyone does.
#[inline(always)]
pub(crate) fn tell(kind: u8, tgid: u32, parent: u32) {
    if option(option::TLS) == 0 {
        return;
    }
    let Some(mut entry) = LIVES.reserve::<Life>(0) else {
        count(counter::MAP_FULL);
        return;
    };
    entry.write(Life { kind: u32::from(kind), tgid, parent, reserved: 0 });
    // The reader is woken, unless it is at work.
    entry.submit(0);
}

/// Sends `bytes`, which begin with a header of `lane`.
#[inline(always)]
pub(crate) fn send_bytes(lane: u8, bytes: *const u8, size: u64) -> bool {
    let sent = unsafe {
        aya_ebpf::helpers::bpf_ringbuf_output(
            (&raw const RECORDS).cast_mut().cast(),
            bytes.cast_mut().cast(),
            size,
            wake_flags(),
        )
    };
    if sent != 0 {
        ring_full(lane);
    }
    sent == 0
}

/// `CLOCK_MONOTONIC`.
#[inline(always)]
pub(crate) fn now() -> u64 {
    unsafe { bpf_ktime_get_ns() }
}
