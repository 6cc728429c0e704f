// The floor: the least that a tracer must do which takes the payload of a server's system calls. It remembers the buffer
// when a call is entered, and when the call returns it copies a head of 32 bytes and up to 256 bytes of payload to a
// ring, without waking the reader. It knows no sockets, no connections and no arrivals.

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define PAYLOAD 256

// The process to trace, set before loading.
const volatile __u32 target = 0;

// What a syscall tracepoint is given: its format is at events/syscalls in tracefs.
struct enter {
	__u64 common;
	__u64 nr;
	__u64 args[6];
};

struct leave {
	__u64 common;
	__u64 nr;
	__s64 ret;
};

struct call {
	__u64 buffer;
	__u32 fd;
	__u32 is_vector;
};

struct record {
	__u64 time;
	__u64 thread;
	__s64 ret;
	__u32 fd;
	__u16 nr;
	__u16 length;
	__u8 payload[PAYLOAD];
};

struct vector {
	__u64 base;
	__u64 length;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct call);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

static __always_inline int enter(struct enter *ctx, __u64 buffer, __u32 is_vector)
{
	__u64 thread = bpf_get_current_pid_tgid();
	if (thread >> 32 != target)
		return 0;
	struct call call = { .buffer = buffer, .fd = ctx->args[0], .is_vector = is_vector };
	bpf_map_update_elem(&calls, &thread, &call, BPF_ANY);
	return 0;
}

static __always_inline int leave(struct leave *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid();
	if (thread >> 32 != target)
		return 0;
	struct call *entered = bpf_map_lookup_elem(&calls, &thread);
	if (!entered)
		return 0;
	struct call call = *entered;
	bpf_map_delete_elem(&calls, &thread);
	if (ctx->ret < 0)
		return 0;
	struct record *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		__u32 key = 0;
		__u64 *count = bpf_map_lookup_elem(&lost, &key);
		if (count)
			*count += 1;
		return 0;
	}
	__u64 length = call.buffer ? ctx->ret : 0;
	if (call.is_vector && length) {
		struct vector first;
		if (bpf_probe_read_user(&first, sizeof(first), (void *)call.buffer))
			first.length = 0;
		call.buffer = first.base;
		if (first.length < length)
			length = first.length;
	}
	// The verifier has to see the bound on the very register that the copy uses.
	asm volatile("" : "+r"(length));
	if (length > PAYLOAD)
		length = PAYLOAD;
	if (length && bpf_probe_read_user(record->payload, length, (void *)call.buffer))
		length = 0;
	record->time = bpf_ktime_get_ns();
	record->thread = thread;
	record->ret = ctx->ret;
	record->fd = call.fd;
	record->nr = ctx->nr;
	record->length = length;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

#define SYSCALL(name, buffer, is_vector)                                                                               \
	SEC("tracepoint/syscalls/sys_enter_" #name) int enter_##name(struct enter *ctx)                                \
	{                                                                                                              \
		return enter(ctx, buffer, is_vector);                                                                  \
	}                                                                                                              \
	SEC("tracepoint/syscalls/sys_exit_" #name) int leave_##name(struct leave *ctx)                                 \
	{                                                                                                              \
		return leave(ctx);                                                                                     \
	}

SYSCALL(read, ctx->args[1], 0)
SYSCALL(write, ctx->args[1], 0)
SYSCALL(recvfrom, ctx->args[1], 0)
SYSCALL(sendto, ctx->args[1], 0)
SYSCALL(writev, ctx->args[1], 1)
SYSCALL(sendfile64, 0, 0)
SYSCALL(accept4, 0, 0)
SYSCALL(close, 0, 0)

char LICENSE[] SEC("license") = "GPL";
