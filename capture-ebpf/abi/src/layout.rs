//! Indices into the read-only array `LAYOUT`: where the running kernel keeps what the programs read.
//!
//! Rust has no CO-RE relocations, so the recorder looks the offsets up in the kernel's BTF before it loads the programs.

/// An offset that the kernel does not have.
pub const ABSENT: u32 = u32::MAX;

macro_rules! layout {
    ($($index:ident = $($type:ident).+;)*) => {
        #[expect(non_camel_case_types, reason = "each is named after the field that it numbers")]
        #[derive(Clone, Copy)]
        #[repr(usize)]
        enum Index { $($index,)* Count }
        $(
            #[doc = concat!("Offset of `", stringify!($($type).+), "`.")]
            pub const $index: usize = Index::$index as usize;
        )*
        /// How many fields there are that BTF tells.
        pub const FIELDS: usize = Index::Count as usize;
        /// The struct and the field of each index. Members of anonymous members count as the struct's own.
        pub const NAMES: [&str; FIELDS] = [$(stringify!($($type).+),)*];
    };
}

layout! {
    TASK_FILES = task_struct.files;
    TASK_PID = task_struct.pid;
    TASK_TGID = task_struct.tgid;
    TASK_GROUP_LEADER = task_struct.group_leader;
    TASK_THREAD_PID = task_struct.thread_pid;
    PID_LEVEL = pid.level;
    PID_NUMBERS = pid.numbers;
    UPID_NR = upid.nr;
    UPID_NS = upid.ns;
    PID_NAMESPACE_NS = pid_namespace.ns;
    TASK_SIGNAL = task_struct.signal;
    SIGNAL_LIVE = signal_struct.live;
    BPRM_INTERP = linux_binprm.interp;
    FILES_FDT = files_struct.fdt;
    FDTABLE_MAX = fdtable.max_fds;
    FDTABLE_FD = fdtable.fd;
    FILE_INODE = file.f_inode;
    FILE_FLAGS = file.f_flags;
    FILE_PRIVATE = file.private_data;
    INODE_MODE = inode.i_mode;
    SOCKET_SK = socket.sk;
    SK_FAMILY = sock_common.skc_family;
    SK_STATE = sock_common.skc_state;
    SK_LOCAL_PORT = sock_common.skc_num;
    SK_REMOTE_PORT = sock_common.skc_dport;
    SK_REMOTE_V4 = sock_common.skc_daddr;
    SK_LOCAL_V4 = sock_common.skc_rcv_saddr;
    SK_REMOTE_V6 = sock_common.skc_v6_daddr;
    SK_LOCAL_V6 = sock_common.skc_v6_rcv_saddr;
    SK_NET = sock_common.skc_net;
    SK_COOKIE = sock_common.skc_cookie;
    SK_FLAGS = sock_common.skc_flags;
    SK_PROTOCOL = sock.sk_protocol;
    SK_ERR = sock.sk_err;
    NET_NS = net.ns;
    NS_INUM = ns_common.inum;
    TCP_RCV_NXT = tcp_sock.rcv_nxt;
    TCP_COPIED_SEQ = tcp_sock.copied_seq;
    TCP_WRITE_SEQ = tcp_sock.write_seq;
    TCP_SND_UNA = tcp_sock.snd_una;
    TCP_SND_NXT = tcp_sock.snd_nxt;
    TCP_BYTES_RECEIVED = tcp_sock.bytes_received;
    TCP_BYTES_ACKED = tcp_sock.bytes_acked;
    TCP_BYTES_SENT = tcp_sock.bytes_sent;
    TCP_BYTES_RETRANS = tcp_sock.bytes_retrans;
    SKB_DATA = sk_buff.data;
    SKB_LEN = sk_buff.len;
}

/// Offset of the system call's number in `pt_regs`, as it is at the call's exit.
pub const REGS_NR: usize = FIELDS;
/// Offset of argument `n` of the system call in `pt_regs`, as it is at the call's exit, at `REGS_ARGS + n`.
pub const REGS_ARGS: usize = FIELDS + 1;
/// Offset of the stack pointer in `pt_regs`.
pub const REGS_SP: usize = REGS_ARGS + 6;
/// Offsets in `pt_regs` of the registers in which Go passes the first three arguments and the first result, and of the one
/// that holds the goroutine: at `REGS_GO + 3`.
pub const REGS_GO: usize = REGS_SP + 1;
/// Offset of the word in `task_struct` whose bit 1 tells a 32-bit call (x86: `thread_info.status`, `TS_COMPAT`).
pub const TASK_COMPAT: usize = REGS_GO + 4;
/// How many entries the array has.
pub const COUNT: usize = TASK_COMPAT + 1;
