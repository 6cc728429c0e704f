//! The numbers of the recorded system calls on this architecture.

use redtape_abi::call;
use redtape_abi::limits::SYSCALLS_MAX;

/// `CALLS`: what each system call number stands for.
pub(crate) fn call_table() -> [u8; SYSCALLS_MAX] {
    let mut table = [call::NONE; SYSCALLS_MAX];
    let calls = [
        (libc::SYS_read, call::READ),
        (libc::SYS_write, call::WRITE),
        (libc::SYS_readv, call::READV),
        (libc::SYS_writev, call::WRITEV),
        (libc::SYS_recvfrom, call::RECVFROM),
        (libc::SYS_sendto, call::SENDTO),
        (libc::SYS_recvmsg, call::RECVMSG),
        (libc::SYS_sendmsg, call::SENDMSG),
        (libc::SYS_recvmmsg, call::RECVMMSG),
        (libc::SYS_sendmmsg, call::SENDMMSG),
        (libc::SYS_sendfile, call::SENDFILE),
        (libc::SYS_splice, call::SPLICE),
        (libc::SYS_accept, call::ACCEPT),
        (libc::SYS_accept4, call::ACCEPT),
        (libc::SYS_connect, call::CONNECT),
        (libc::SYS_shutdown, call::SHUTDOWN),
        (libc::SYS_close, call::CLOSE),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_epoll_wait, call::EPOLL_WAIT),
        (libc::SYS_epoll_pwait, call::EPOLL_WAIT),
        (libc::SYS_epoll_pwait2, call::EPOLL_WAIT),
        (libc::SYS_io_uring_enter, call::IO_URING_ENTER),
        (libc::SYS_io_uring_setup, call::IO_URING_SETUP),
        (libc::SYS_mmap, call::MMAP),
    ];
    for (number, call) in calls {
        if let Some(entry) = usize::try_from(number).ok().and_then(|number| table.get_mut(number)) {
            *entry = call;
        }
    }
    table
}
