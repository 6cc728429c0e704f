//! Go's crypto/tls: the plaintext that `(*Conn).Read` and `(*Conn).Write` moved, and the socket that carries it.
//!
//! A goroutine that waits may go on in another thread, so a call belongs to a goroutine: the address of its `runtime.g`, which
//! Go keeps in a register of its own (src/cmd/compile/abi-internal.md), also while it is in a system call. Its stack may be moved
//! while it grows, so places on the stack are measured from the stack's upper end. Go's own `net.Conn` uses the socket in
//! the goroutine that called `Read`, `Write` or the handshake: the socket is certain.

use core::hint::black_box;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;
use redtape_abi::{counter, layout as index};

use crate::emit::{count, now};
use crate::kernel::{current, field, is_followed, is_probed, user};
use crate::maps::{TLS_GOROUTINES, TLS_OBJECTS};
use crate::plaintext::moved;
use crate::tls::{Place, Running, SocketCall, freed, known_or_joined, learn_carrier, library, made, op};

/// A goroutine in a function of crypto/tls.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct GoCall {
    /// Its `stack` is negative: how far the return address lies below the stack's upper end. So is its `buffer`, if that is on
    /// the stack, too.
    pub call: Running,
    /// The return address: while it stands there, the call is under way.
    pub returns_to: u64,
    /// 1: the plaintext is on the goroutine's stack.
    pub on_stack: u64,
}

impl GoCall {
    /// Whether code further down the stack runs within this call. A call that ended in a panic leaves its entry behind,
    /// but hardly its return address in the same place.
    #[inline(always)]
    fn encloses(&self, stack: u64, high: u64) -> bool {
        self.call.object != 0
            && stack < self.call.stack
            && user::<u64>(high.wrapping_add(self.call.stack)) == Some(self.returns_to)
    }
}

/// A goroutine, and where its stack pointer is.
struct Goroutine {
    place: Place,
    /// The bounds of its stack: the first two fields of `runtime.g`.
    low: u64,
    high: u64,
    /// How far the stack pointer is below the upper end, as a negative number.
    stack: u64,
}

/// The goroutine that runs with these registers. None if they are not those of Go code.
#[inline(always)]
fn goroutine(regs: u64, tgid: u32) -> Option<Goroutine> {
    let g: u64 = field(regs, index::REGS_GO + 3);
    let [low, high]: [u64; 2] = user(g)?;
    let stack: u64 = field(regs, index::REGS_SP);
    let on_it = low <= stack && stack < high;
    let place = Place { address: g, tgid: u64::from(tgid) };
    on_it.then(|| Goroutine { place, low, high, stack: stack.wrapping_sub(high) })
}

/// `func (c *Conn) Read(b []byte) (int, error)`
#[uprobe]
pub fn go_read(ctx: ProbeContext) -> u32 {
    entered(black_box(ctx.regs as u64), op::READ);
    0
}

/// `func (c *Conn) Write(b []byte) (int, error)`
#[uprobe]
pub fn go_write(ctx: ProbeContext) -> u32 {
    entered(black_box(ctx.regs as u64), op::WRITE);
    0
}

/// `func (c *Conn) clientHandshake(ctx context.Context) error` and `serverHandshake`: the first thing that is done with a connection,
/// and done once unless it is renegotiated.
#[uprobe]
pub fn go_handshake(ctx: ProbeContext) -> u32 {
    entered(black_box(ctx.regs as u64), op::HANDSHAKE);
    0
}

/// A `RET` of one of these.
#[uprobe]
pub fn go_return(ctx: ProbeContext) -> u32 {
    returned(&ctx, black_box(ctx.regs as u64));
    0
}

/// `func (c *Conn) Close() error`
#[uprobe]
pub fn go_close(ctx: ProbeContext) -> u32 {
    let (tgid, _) = current();
    if is_followed(tgid) {
        freed(field(black_box(ctx.regs as u64), index::REGS_GO));
    }
    0
}

#[inline(always)]
fn entered(regs: u64, op: u8) {
    let (tgid, _) = current();
    if !is_probed(tgid, library::GO) {
        return;
    }
    let Some(goroutine) = goroutine(regs, tgid) else { return };
    let object: u64 = field(regs, index::REGS_GO);
    let within = TLS_GOROUTINES.get_ptr(goroutine.place).map(|call| unsafe { &*call });
    let within = within.filter(|call| call.encloses(goroutine.stack, goroutine.high));
    // A handshake begins a connection, be it at the address of an older one. Within a call that has moved plaintext before, it is a
    // renegotiation.
    if op == op::HANDSHAKE && !renegotiates(object, within, tgid) {
        made(object, library::GO);
    }
    // Of calls within each other, as where TLS runs within TLS, the outermost has the plaintext of the program.
    if within.is_some() {
        return;
    }
    // A goroutine can wait long before it returns from this, while another one reads the answer.
    if op == op::WRITE
        && let Some(known) = TLS_OBJECTS.get_ptr_mut(Place { address: object, tgid: u64::from(tgid) })
    {
        unsafe { (*known).talk.about_to_send() };
    }
    let buffer: u64 = field(regs, index::REGS_GO + 1);
    let on_stack = goroutine.low <= buffer && buffer < goroutine.high;
    let call = GoCall {
        call: Running {
            object,
            stack: goroutine.stack,
            buffer: if on_stack { buffer.wrapping_sub(goroutine.high) } else { buffer },
            entered: now(),
            carrier: 0,
            op,
            library: library::GO,
            nonblocking: 0,
            conflict: 0,
            asked: 1,
        },
        returns_to: user(field(regs, index::REGS_SP)).unwrap_or(0),
        on_stack: u64::from(on_stack),
    };
    if TLS_GOROUTINES.insert(goroutine.place, call, u64::from(BPF_ANY)).is_err() {
        count(counter::MAP_FULL);
    }
}

/// Whether a handshake is not the first of its connection.
#[inline(always)]
fn renegotiates(object: u64, within: Option<&GoCall>, tgid: u32) -> bool {
    if within.is_none_or(|call| call.call.object != object) {
        return false;
    }
    let object = TLS_OBJECTS.get_ptr(Place { address: object, tgid: u64::from(tgid) });
    object.is_some_and(|object| unsafe { (*object).in_pos | (*object).out_pos } != 0)
}

#[inline(always)]
fn returned(ctx: &impl EbpfContext, regs: u64) {
    let (tgid, _) = current();
    let Some(goroutine) = goroutine(regs, tgid) else { return };
    let Some(call) = TLS_GOROUTINES.get_ptr_mut(goroutine.place) else { return };
    let call = unsafe { &mut *call };
    // The stack pointer is at the return address again, as at the entry; elsewhere for a call further in.
    if call.call.object == 0 || call.call.stack != goroutine.stack || !is_followed(tgid) {
        return;
    }
    let place = Place { address: call.call.object, tgid: u64::from(tgid) };
    call.call.object = 0;
    let len: i64 = field(regs, index::REGS_GO);
    // The handshake returns an error alone, whose type stands in this register.
    let len = if call.call.op == op::HANDSHAKE { 0 } else { len };
    // A connection that was closed meanwhile and moved nothing is not begun again.
    if len <= 0 && (call.call.carrier == 0 || TLS_OBJECTS.get_ptr(place).is_none()) {
        return;
    }
    let Some(object) = known_or_joined(&place, library::GO) else { return };
    learn_carrier(object, &call.call);
    if len > 0 {
        if call.on_stack != 0 {
            call.call.buffer = call.call.buffer.wrapping_add(goroutine.high);
        }
        moved(ctx, place, object, &call.call, len.cast_unsigned(), call.call.op == op::WRITE);
    }
}

/// A goroutine moved bytes of a socket; `regs` are those of its system call.
#[inline(always)]
pub(crate) fn socket_moved(regs: u64, socket: &SocketCall) {
    let place = Place { address: field(regs, index::REGS_GO + 3), tgid: u64::from(socket.tgid) };
    let Some(call) = TLS_GOROUTINES.get_ptr_mut(place) else { return };
    let call = unsafe { &mut *call };
    if call.call.object == 0 {
        return;
    }
    let Some(goroutine) = goroutine(regs, socket.tgid) else { return };
    if call.encloses(goroutine.stack, goroutine.high) {
        call.call.used(socket);
    }
}
