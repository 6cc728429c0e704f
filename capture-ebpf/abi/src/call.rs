//! The system calls that the programs know, as numbers of the `CALLS` table (indexed by the system call's number).
//!
//! The first twelve are the sources of data and have the numbers of the tape format.

/// Not recorded.
pub const NONE: u8 = 0;
/// read(2)
pub const READ: u8 = 1;
/// write(2)
pub const WRITE: u8 = 2;
/// readv(2)
pub const READV: u8 = 3;
/// writev(2)
pub const WRITEV: u8 = 4;
/// recvfrom(2), recv(3)
pub const RECVFROM: u8 = 5;
/// sendto(2), send(3)
pub const SENDTO: u8 = 6;
/// recvmsg(2)
pub const RECVMSG: u8 = 7;
/// sendmsg(2)
pub const SENDMSG: u8 = 8;
/// recvmmsg(2)
pub const RECVMMSG: u8 = 9;
/// sendmmsg(2)
pub const SENDMMSG: u8 = 10;
/// sendfile(2)
pub const SENDFILE: u8 = 11;
/// splice(2)
pub const SPLICE: u8 = 12;
/// accept(2) and accept4(2)
pub const ACCEPT: u8 = 16;
/// connect(2)
pub const CONNECT: u8 = 17;
/// shutdown(2)
pub const SHUTDOWN: u8 = 18;
/// close(2)
pub const CLOSE: u8 = 19;
/// epoll_wait(2), epoll_pwait(2), epoll_pwait2(2)
pub const EPOLL_WAIT: u8 = 20;
/// io_uring_enter(2)
pub const IO_URING_ENTER: u8 = 21;
/// io_uring_setup(2)
pub const IO_URING_SETUP: u8 = 22;
/// mmap(2)
pub const MMAP: u8 = 23;
