//! Functions of TLS libraries: what plaintext they moved, and which socket carries it.
//!
//! A TLS object (an `SSL*`, a GnuTLS session) is a connection of its own. Its socket is certain where the program told the library the
//! descriptor, or where the library itself used the socket while it was called. Where the library works in memory, the
//! programs only note which socket the thread moved TLS records of just before or after, with their lengths: user space
//! decides.

use core::hint::black_box;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::bpf_get_smp_processor_id;
use redtape_abi::limits::TLS_CLUES_MAX;
use redtape_abi::{Socket, TlsClue, counter, kind, lane, layout as index, tie};

use crate::emit::{self, count, now};
use crate::keep::Talk;
use crate::kernel::{current, field, is_followed, is_probed, thread_key, user};
use crate::maps::{PROBED, TLS_OBJECTS, TLS_THREADS};
use crate::plaintext::moved;

/// Keys of TLS objects.
const OBJECT_KEY: u64 = 1 << 62;

/// What a function does.
pub(crate) mod op {
    pub(crate) const READ: u8 = 1;
    pub(crate) const WRITE: u8 = 2;
    pub(crate) const HANDSHAKE: u8 = 3;
    pub(crate) const SHUTDOWN: u8 = 4;
    /// Makes an object, and writes its address where the first argument says.
    pub(crate) const MAKE: u8 = 5;
}

/// Numbers of libraries, as the tape format has them.
pub(crate) mod library {
    pub(crate) const OPENSSL: u8 = 1;
    pub(crate) const GNUTLS: u8 = 2;
    pub(crate) const GO: u8 = 3;
}

/// Where a TLS object is.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub address: u64,
    pub tgid: u64,
}

/// A TLS object.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Object {
    /// Its key: a number with [`OBJECT_KEY`].
    pub id: u64,
    /// The key of the socket that carries it, 0 if not known.
    pub carrier: u64,
    /// Bytes of plaintext so far.
    pub in_pos: u64,
    pub out_pos: u64,
    /// The socket of the last clue.
    pub clue: u64,
    /// What the payload of its calls is chosen by.
    pub talk: Talk,
    /// One of [`library`].
    pub library: u8,
    /// One of [`tie`].
    pub rule: u8,
    /// 1: it is older than what was seen of it.
    pub joined: u8,
    /// How many clues were sent.
    pub clues: u8,
    /// 1: the last call on the carrier was one that does not wait.
    pub nonblocking: u8,
    /// 1: its end was sent.
    pub closed: u8,
    /// How often it has to be freed before it is no more, beside the last time.
    pub references: u8,
    pub reserved: u8,
}

/// A function of a TLS library that is being called.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Running {
    /// Its object, 0 if it has returned.
    pub object: u64,
    /// The stack pointer at its entry.
    pub stack: u64,
    /// Where the plaintext is.
    pub buffer: u64,
    /// When it was entered.
    pub entered: u64,
    /// The socket that was used within it.
    pub carrier: u64,
    /// One of [`op`].
    pub op: u8,
    /// One of [`library`].
    pub library: u8,
    /// 1: the socket was used in a way that does not wait.
    pub nonblocking: u8,
    /// 1: several sockets were used.
    pub conflict: u8,
    /// 1: it was to read some bytes, of which 0 are the end.
    pub asked: u32,
}

impl Running {
    const NONE: Self = Self {
        object: 0,
        stack: 0,
        buffer: 0,
        entered: 0,
        carrier: 0,
        op: 0,
        library: 0,
        nonblocking: 0,
        conflict: 0,
        asked: 0,
    };

    /// Notes a socket that was used within the call.
    #[inline(always)]
    pub(crate) fn used(&mut self, socket: &SocketCall) {
        self.conflict |= u8::from(self.carrier != 0 && self.carrier != socket.key);
        self.carrier = socket.key;
        self.nonblocking = u8::from(socket.nonblocking);
    }
}

/// A thread that calls a TLS library.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct TlsThread {
    pub call: Running,
    /// Where the function says how many bytes it moved; 0 if it returns that.
    pub result: u64,
    /// The socket that TLS records were read from last.
    pub read_from: u64,
    /// The object that was read from since then, 0 if none.
    pub read_by: u64,
    /// The object that plaintext was written to since the last TLS records were written to a socket, or whose handshake went on.
    pub wrote: u64,
    /// Length of the first of those records, without its head.
    pub record: u32,
    /// Bytes that were read with it.
    pub moved: u32,
    /// Bytes of that plaintext; 0 of a handshake.
    pub wrote_len: u32,
    /// Functions of the library that it is in, further in.
    pub depth: u32,
    /// The type of the record.
    pub content: u8,
    /// 1: records of several sockets were read since an object was last read from.
    pub read_many: u8,
    /// 1: plaintext of several objects was written.
    pub wrote_many: u8,
    /// 1: a function further in has another object, whose socket is not this one's.
    pub foreign: u8,
    pub reserved: [u8; 4],
}

impl TlsThread {
    /// It is in no function, and has moved nothing.
    const IDLE: Self = Self {
        call: Running::NONE,
        result: 0,
        read_from: 0,
        read_by: 0,
        wrote: 0,
        record: 0,
        moved: 0,
        wrote_len: 0,
        depth: 0,
        content: 0,
        read_many: 0,
        wrote_many: 0,
        foreign: 0,
        reserved: [0; 4],
    };
}

/// The arguments of a function.
pub(crate) struct Call {
    pub op: u8,
    pub library: u8,
    pub object: u64,
    pub buffer: u64,
    pub result: u64,
    /// Whether it is to read some bytes.
    pub asked: bool,
}

/// A function is entered; `regs` are the registers.
#[inline(always)]
pub(crate) fn enter(regs: u64, call: &Call) {
    let (tgid, _) = current();
    if !is_probed(tgid, call.library) {
        return;
    }
    let stack: u64 = field(black_box(regs), index::REGS_SP);
    let running = Running {
        object: call.object,
        stack,
        buffer: call.buffer,
        entered: now(),
        carrier: 0,
        op: call.op,
        library: call.library,
        nonblocking: 0,
        conflict: 0,
        asked: u32::from(call.asked),
    };
    if let Some(thread) = TLS_THREADS.get_ptr_mut(thread_key()) {
        let thread = unsafe { &mut *thread };
        // A function of the library that another one calls, as where TLS runs within TLS. What lies further out on the stack was
        // left without returning.
        if thread.call.object != 0 && stack < thread.call.stack {
            thread.depth += 1;
            thread.foreign |= u8::from(call.object != thread.call.object);
            return;
        }
        thread.call = running;
        thread.result = call.result;
        thread.depth = 0;
        thread.foreign = 0;
        return;
    }
    let thread = TlsThread { call: running, result: call.result, ..TlsThread::IDLE };
    if TLS_THREADS.insert(thread_key(), thread, u64::from(BPF_ANY)).is_err() {
        count(counter::MAP_FULL);
    }
}

/// A function has returned `ret`.
#[inline(always)]
pub(crate) fn leave(ctx: &impl EbpfContext, ret: u64) {
    let (tgid, _) = current();
    let Some(thread) = TLS_THREADS.get_ptr_mut(thread_key()) else { return };
    let thread = unsafe { &mut *thread };
    if thread.depth > 0 {
        thread.depth -= 1;
        thread.foreign &= u8::from(thread.depth > 0);
        return;
    }
    let address = thread.call.object;
    if address == 0 || !is_followed(tgid) {
        return;
    }
    thread.call.object = 0;
    let ret = if thread.call.library == library::OPENSSL { i64::from(ret as i32) } else { ret.cast_signed() };
    if thread.call.op == op::MAKE {
        if ret == 0
            && let Some(made) = user::<u64>(thread.call.buffer)
        {
            make(&Place { address: made, tgid: u64::from(tgid) }, thread.call.library, 0);
        }
        return;
    }
    let place = Place { address, tgid: u64::from(tgid) };
    // A handshake that is under way comes before all plaintext; of one that is over, the call would do nothing.
    let begins = thread.call.op == op::HANDSHAKE && (ret < 0 || thread.call.carrier != 0);
    let Some(object) = known_or_made(&place, thread.call.library, u8::from(!begins)) else { return };
    learn_carrier(object, &thread.call);
    match thread.call.op {
        op::SHUTDOWN if ret == i64::from(thread.call.library == library::OPENSSL) => close(object),
        op::READ | op::WRITE | op::HANDSHAKE => returned(ctx, place, object, thread, ret),
        _ => {}
    }
}

#[inline(always)]
fn returned(ctx: &impl EbpfContext, place: Place, object: &mut Object, thread: &mut TlsThread, ret: i64) {
    let out = thread.call.op == op::WRITE;
    let mut len = if ret > 0 && thread.call.op != op::HANDSHAKE { ret.cast_unsigned() } else { 0 };
    if thread.result != 0 && len != 0 {
        len = user::<u64>(thread.result).unwrap_or(0);
    }
    if !out {
        clue_of_read(object, thread, len, place.tgid as u32);
    }
    // A handshake has something to be sent, too.
    let handshake = len == 0 && object.joined == 0 && object.in_pos | object.out_pos == 0;
    if handshake && object.rule == tie::NONE && thread.wrote == 0 {
        thread.wrote = object.id;
        thread.wrote_len = 0;
    }
    if out && len > 0 && object.carrier == 0 {
        // A handshake that had nothing to be sent after all.
        if thread.wrote_len == 0 {
            thread.wrote = 0;
            thread.wrote_many = 0;
        }
        thread.wrote_many = u8::from(thread.wrote != 0 && (thread.wrote_many != 0 || thread.wrote != object.id));
        if thread.wrote == 0 {
            thread.wrote_len = len as u32;
        }
        thread.wrote = object.id;
    }
    let ended = ret == 0 && thread.call.op == op::READ && thread.call.asked != 0 && thread.result == 0;
    if len > 0 || ended {
        moved(ctx, place, object, &thread.call, len, out);
    }
}

/// The carrier, if the library used a socket in this call.
#[inline(always)]
pub(crate) fn learn_carrier(object: &mut Object, call: &Running) {
    if call.carrier == 0 {
        return;
    }
    object.nonblocking = call.nonblocking;
    if object.rule == tie::NONE {
        // In this order: another goroutine may use the connection at the same moment.
        object.carrier = call.carrier;
        object.rule = tie::CALL;
    }
    if object.carrier != call.carrier || call.conflict != 0 {
        object.rule = tie::CONFLICT;
        object.carrier = 0;
    }
}

/// A read from an object that works in memory, behind a read of TLS records from one socket.
#[inline(always)]
fn clue_of_read(object: &mut Object, thread: &mut TlsThread, len: u64, tgid: u32) {
    let carrier = thread.read_from;
    if thread.read_by == 0 {
        thread.read_by = object.id;
    }
    if carrier != 0 && thread.read_many == 0 && thread.read_by == object.id && object.rule == tie::NONE {
        let records = Records { record: thread.record, moved: thread.moved, content: thread.content };
        clue(object, carrier, len, &records, false, tgid);
    }
}

/// What a socket call moved.
struct Records {
    record: u32,
    moved: u32,
    content: u8,
}

#[inline(always)]
fn clue(object: &mut Object, carrier: u64, plain: u64, records: &Records, out: bool, tgid: u32) {
    if object.clue == carrier && object.clues >= TLS_CLUES_MAX {
        return;
    }
    object.clue = carrier;
    object.clues = object.clues.saturating_add(1);
    let header = emit::header(kind::TLS_CLUE, lane::TLS, now());
    emit::send::<TlsClue>(lane::TLS, header, |entry| {
        entry.write(TlsClue {
            header,
            object: object.id,
            carrier,
            plain: plain as u32,
            record: records.record,
            moved: records.moved,
            tgid,
            out: u8::from(out),
            library: object.library,
            content: records.content,
            joined: object.joined,
            reserved: 0,
        });
    });
}

/// The thread that moved TLS records. Where a library works in memory, it may not have called that yet: a client's first record is
/// read before there is anything to do with it.
#[inline(always)]
fn thread_of(socket: &SocketCall) -> Option<&'static mut TlsThread> {
    if let Some(thread) = TLS_THREADS.get_ptr_mut(thread_key()) {
        return Some(unsafe { &mut *thread });
    }
    PROBED.get_ptr(socket.tgid)?;
    if TLS_THREADS.insert(thread_key(), TlsThread::IDLE, u64::from(BPF_ANY)).is_err() {
        count(counter::MAP_FULL);
    }
    TLS_THREADS.get_ptr_mut(thread_key()).map(|thread| unsafe { &mut *thread })
}

/// A thread moved bytes of a socket: of which of its TLS objects may they be?
#[inline(always)]
pub(crate) fn socket_moved(socket: &SocketCall) {
    let payload = socket.payload;
    let head = socket.captured >= 5 && unsafe { begins_record(payload) };
    if !head && !socket.tls {
        return;
    }
    let Some(thread) = thread_of(socket) else { return };
    if thread.call.object != 0 {
        if thread.foreign == 0 {
            thread.call.used(socket);
        }
        return;
    }
    let (record, content) =
        if head { unsafe { (u32::from(*payload.add(3)) << 8 | u32::from(*payload.add(4)), *payload) } } else { (0, 0) };
    if !socket.out {
        let unread = thread.read_by == 0 && thread.read_from != 0;
        thread.read_many = u8::from(unread && (thread.read_many != 0 || thread.read_from != socket.key));
        thread.read_by = 0;
        thread.read_from = socket.key;
        thread.record = record;
        thread.moved = socket.len as u32;
        thread.content = content;
        return;
    }
    if thread.wrote != 0 && thread.wrote_many == 0 && head {
        // Sent for each call: what they are worth is decided in user space, which knows what is tied.
        let header = emit::header(kind::TLS_CLUE, lane::TLS, now());
        emit::send::<TlsClue>(lane::TLS, header, |entry| {
            entry.write(TlsClue {
                header,
                object: thread.wrote,
                carrier: socket.key,
                plain: thread.wrote_len,
                record,
                moved: socket.len as u32,
                tgid: socket.tgid,
                out: 1,
                library: thread.call.library,
                content,
                joined: 0,
                reserved: 0,
            });
        });
    }
    thread.wrote = 0;
    thread.wrote_many = 0;
}

/// A call on a socket.
pub(crate) struct SocketCall {
    pub key: u64,
    pub len: u64,
    pub tgid: u32,
    /// The beginning of its payload, and how many bytes of it were captured.
    pub payload: *const u8,
    pub captured: u32,
    pub out: bool,
    pub nonblocking: bool,
    /// The direction is known to be TLS.
    pub tls: bool,
}

/// The head of a TLS record (RFC 8446, section 5.1).
#[inline(always)]
unsafe fn begins_record(payload: *const u8) -> bool {
    unsafe { *payload >= 20 && *payload <= 23 && *payload.add(1) == 3 && *payload.add(2) <= 4 }
}

/// The program told the library the socket.
#[inline(always)]
pub(crate) fn told(address: u64, library: u8, key: u64) {
    let (tgid, _) = current();
    let Some(object) = known_or_joined(&Place { address, tgid: u64::from(tgid) }, library) else { return };
    if object.rule == tie::NONE {
        object.rule = tie::SET_FD;
        object.carrier = key;
    } else if object.carrier != key {
        object.rule = tie::CONFLICT;
        object.carrier = 0;
    }
}

/// An object is about to be used for another connection. OpenSSL itself does so at the beginning of a handshake.
#[inline(always)]
pub(crate) fn cleared(address: u64, library: u8) {
    let (tgid, _) = current();
    let place = Place { address, tgid: u64::from(tgid) };
    if let Some(object) = TLS_OBJECTS.get_ptr_mut(place)
        && unsafe { (*object).in_pos | (*object).out_pos } != 0
    {
        made(address, library);
    }
}

/// An object was made.
#[inline(always)]
pub(crate) fn made(address: u64, library: u8) {
    let (tgid, _) = current();
    if address == 0 || !is_probed(tgid, library) {
        return;
    }
    let place = Place { address, tgid: u64::from(tgid) };
    if let Some(object) = TLS_OBJECTS.get_ptr_mut(place) {
        close(unsafe { &mut *object });
    }
    make(&place, library, 0);
}

/// An object has one more owner.
#[inline(always)]
pub(crate) fn referenced(address: u64) {
    let (tgid, _) = current();
    if let Some(object) = TLS_OBJECTS.get_ptr_mut(Place { address, tgid: u64::from(tgid) }) {
        unsafe { (*object).references = (*object).references.saturating_add(1) };
    }
}

/// An object has one owner less, and then may be no more.
#[inline(always)]
pub(crate) fn freed(address: u64) {
    let (tgid, _) = current();
    let place = Place { address, tgid: u64::from(tgid) };
    if let Some(object) = TLS_OBJECTS.get_ptr_mut(place) {
        let object = unsafe { &mut *object };
        if object.references != 0 {
            object.references -= 1;
            return;
        }
        close(object);
        let _gone = TLS_OBJECTS.remove(place);
    }
}

#[inline(always)]
fn close(object: &mut Object) {
    if object.closed != 0 || object.in_pos | object.out_pos == 0 {
        return;
    }
    object.closed = 1;
    let header = emit::header(kind::TLS_CLOSED, lane::TLS, now());
    let cookie = object.id;
    emit::send::<Socket>(lane::TLS, header, |entry| {
        entry.write(Socket { header, cookie, errno: 0, reserved: 0 });
    });
}

#[inline(always)]
pub(crate) fn known_or_joined(place: &Place, library: u8) -> Option<&'static mut Object> {
    known_or_made(place, library, 1)
}

#[inline(always)]
fn known_or_made(place: &Place, library: u8, joined: u8) -> Option<&'static mut Object> {
    if let Some(object) = TLS_OBJECTS.get_ptr_mut(place) {
        return Some(unsafe { &mut *object });
    }
    make(place, library, joined);
    TLS_OBJECTS.get_ptr_mut(place).map(|object| unsafe { &mut *object })
}

#[inline(always)]
fn make(place: &Place, library: u8, joined: u8) {
    // Unique on a CPU, since time goes on between two of them.
    let id = (now() << 7 | u64::from(unsafe { bpf_get_smp_processor_id() } & 0x7f)) & (OBJECT_KEY - 1) | OBJECT_KEY;
    let object = Object {
        id,
        carrier: 0,
        in_pos: 0,
        out_pos: 0,
        clue: 0,
        talk: Talk::NEW,
        library,
        rule: tie::NONE,
        joined,
        clues: 0,
        nonblocking: 0,
        closed: 0,
        references: 0,
        reserved: 0,
    };
    if TLS_OBJECTS.insert(place, object, u64::from(BPF_ANY)).is_err() {
        count(counter::MAP_FULL);
    }
}
