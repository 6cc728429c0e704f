//! The functions of TLS libraries that are probed: which argument is what.

use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};

use crate::kernel::{current, is_probed};
use crate::socket::known;
use crate::tls::{Call, cleared, enter, freed, leave, library, made, op, referenced, told};
use crate::walk::socket_of;

/// Argument `n`.
#[inline(always)]
fn arg(ctx: &ProbeContext, n: usize) -> u64 {
    ctx.arg(n).unwrap_or(0)
}

macro_rules! entered {
    ($($(#[$doc:meta])* $name:ident($op:ident, $library:ident, $buffer:expr, $result:expr, $size:expr);)*) => {$(
        $(#[$doc])*
        #[uprobe]
        pub fn $name(ctx: ProbeContext) -> u32 {
            let argument = |n: Option<usize>| n.map_or(0, |n| arg(&ctx, n));
            let (buffer, result) = (argument($buffer), argument($result));
            let asked = argument($size) != 0;
            let call = Call { op: op::$op, library: library::$library, object: arg(&ctx, 0), buffer, result, asked };
            enter(ctx.regs as u64, &call);
            0
        }
    )*};
}

entered! {
    /// `int SSL_read(SSL *ssl, void *buf, int num)`
    ssl_read(READ, OPENSSL, Some(1), None, Some(2));
    /// `int SSL_read_ex(SSL *ssl, void *buf, size_t num, size_t *readbytes)`
    ssl_read_ex(READ, OPENSSL, Some(1), Some(3), None);
    /// `int SSL_write(SSL *ssl, const void *buf, int num)`
    ssl_write(WRITE, OPENSSL, Some(1), None, None);
    /// `int SSL_write_ex(SSL *s, const void *buf, size_t num, size_t *written)`
    ssl_write_ex(WRITE, OPENSSL, Some(1), Some(3), None);
    /// `ossl_ssize_t SSL_sendfile(SSL *s, int fd, off_t offset, size_t size, int flags)`, where the kernel encrypts
    ssl_sendfile(WRITE, OPENSSL, None, None, None);
    /// `int SSL_do_handshake(SSL *ssl)`, and `SSL_accept` and `SSL_connect`
    ssl_handshake(HANDSHAKE, OPENSSL, None, None, None);
    /// `int SSL_shutdown(SSL *ssl)`: 1 when both sides have ended
    ssl_shutdown(SHUTDOWN, OPENSSL, None, None, None);
    /// `ssize_t gnutls_record_recv(gnutls_session_t session, void *data, size_t data_size)`
    gnutls_recv(READ, GNUTLS, Some(1), None, Some(2));
    /// `ssize_t gnutls_record_send(gnutls_session_t session, const void *data, size_t data_size)`
    gnutls_send(WRITE, GNUTLS, Some(1), None, None);
    /// `int gnutls_handshake(gnutls_session_t session)`
    gnutls_handshake(HANDSHAKE, GNUTLS, None, None, None);
    /// `int gnutls_bye(gnutls_session_t session, gnutls_close_request_t how)`
    gnutls_bye(SHUTDOWN, GNUTLS, None, None, None);
    /// `int gnutls_init(gnutls_session_t *session, unsigned int flags)`
    gnutls_init(MAKE, GNUTLS, Some(0), None, None);
}

/// The return of each of them.
#[uretprobe]
pub fn tls_return(ctx: RetProbeContext) -> u32 {
    leave(&ctx, ctx.ret());
    0
}

/// As [`tls_return`], from within the function: behind the last instruction that changes the result.
#[uprobe]
pub fn tls_return_inside(ctx: ProbeContext) -> u32 {
    leave(&ctx, result(&ctx));
    0
}

/// As [`ssl_new`], from within the function.
#[uprobe]
pub fn ssl_new_inside(ctx: ProbeContext) -> u32 {
    made(result(&ctx), library::OPENSSL);
    0
}

/// What a function is about to return.
#[inline(always)]
fn result(ctx: &ProbeContext) -> u64 {
    RetProbeContext::new(ctx.regs.cast()).ret()
}

/// The return of `SSL *SSL_new(SSL_CTX *ctx)`
#[uretprobe]
pub fn ssl_new(ctx: RetProbeContext) -> u32 {
    made(ctx.ret(), library::OPENSSL);
    0
}

/// `int SSL_clear(SSL *ssl)`
#[uprobe]
pub fn ssl_clear(ctx: ProbeContext) -> u32 {
    cleared(arg(&ctx, 0), library::OPENSSL);
    0
}

/// `int SSL_up_ref(SSL *s)`
#[uprobe]
pub fn ssl_up_ref(ctx: ProbeContext) -> u32 {
    referenced(arg(&ctx, 0));
    0
}

/// `void SSL_free(SSL *ssl)` and `void gnutls_deinit(gnutls_session_t session)`
#[uprobe]
pub fn tls_free(ctx: ProbeContext) -> u32 {
    freed(arg(&ctx, 0));
    0
}

/// `int SSL_set_fd(SSL *ssl, int fd)`, and `SSL_set_rfd` and `SSL_set_wfd`
#[uprobe]
pub fn ssl_set_fd(ctx: ProbeContext) -> u32 {
    told_descriptor(&ctx, library::OPENSSL);
    0
}

/// `void gnutls_transport_set_int2(gnutls_session_t session, int recv_fd, int send_fd)`
#[uprobe]
pub fn gnutls_set_int2(ctx: ProbeContext) -> u32 {
    told_descriptor(&ctx, library::GNUTLS);
    0
}

/// A socket that is not followed yet becomes known by the first call on it.
#[inline(always)]
fn told_descriptor(ctx: &ProbeContext, library: u8) {
    let (tgid, _) = current();
    if !is_probed(tgid, library) {
        return;
    }
    let Some(walked) = socket_of(arg(ctx, 1) as u32) else { return };
    let Some(sock) = known(walked.sk) else { return };
    told(arg(ctx, 0), library, sock.key);
}
