"""Calls that Rust's standard library does not make: calls.py CASE, on loopback connections of its own."""

import ctypes
import fcntl
import mmap
import os
import socket
import struct
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
libc.write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
libc.write.restype = ctypes.c_ssize_t
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


class Mmsghdr(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_uint32), ("iov", ctypes.POINTER(Iovec)),
                ("iovlen", ctypes.c_size_t), ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
                ("flags", ctypes.c_int), ("pad", ctypes.c_int), ("len", ctypes.c_uint)]


def pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


def messages(buffers):
    headers = (Mmsghdr * len(buffers))()
    segments = (Iovec * len(buffers))()
    for number, buffer in enumerate(buffers):
        segments[number] = Iovec(ctypes.addressof(buffer), len(buffer))
        headers[number].iov = ctypes.pointer(segments[number])
        headers[number].iovlen = 1
    return headers, segments, buffers


def recvmmsg():
    """Two messages, each of fewer bytes than its buffer has: behind the first one's lies what was there before."""
    client, server = pair()
    headers, *_kept = messages([ctypes.create_string_buffer(b"Z" * 1000, 1000) for _ in range(2)])

    def send():
        client.sendall(b"A" * 300)
        for _ in range(500):
            if headers[0].len:
                break
            time.sleep(0.01)
        client.sendall(b"B" * 200)

    threading.Thread(target=send).start()
    assert libc.recvmmsg(server.fileno(), headers, 2, 0, None) == 2
    assert (headers[0].len, headers[1].len) == (300, 200)


def sendmmsg():
    """More messages than the programs look at."""
    client, server = pair()
    headers, *_kept = messages([ctypes.create_string_buffer(bytes([number]), 1) for number in range(100)])
    assert libc.sendmmsg(client.fileno(), headers, 100, 0) == 100
    assert len(server.recv(100, socket.MSG_WAITALL)) == 100


def empty():
    """Reads of nothing into nothing, in the middle of a stream and at its end, and reads that find the end."""
    client, server = pair()
    nothing = bytearray(0)
    client.sendall(b"A" * 20)

    def read_nothing():
        assert os.read(server.fileno(), 0) == b""
        assert os.readv(server.fileno(), [nothing, nothing]) == 0
        assert server.recvmsg_into([nothing])[0] == 0
        assert server.recvmsg_into([])[0] == 0
        assert libc.recvmmsg(server.fileno(), (Mmsghdr * 1)(), 1, 0, None) == 1
        assert libc.recvmmsg(server.fileno(), (Mmsghdr * 1)(), 0, 0, None) == 0

    read_nothing()
    assert os.readv(server.fileno(), [nothing, bytearray(20)]) == 20
    client.shutdown(socket.SHUT_WR)
    assert os.readv(server.fileno(), [nothing, bytearray(1)]) == 0
    read_nothing()
    assert server.recvmsg_into([nothing, bytearray(1)])[0] == 0
    headers, *_kept = messages([ctypes.create_string_buffer(9)])
    assert libc.recvmmsg(server.fileno(), headers, 1, 0, None) == 1


def fault():
    """The memory is gone when the call returns: it waited for room, and wrote what it had copied before."""
    client, server = pair()
    size = 64 << 20
    memory = mmap.mmap(-1, size)
    memory.write(b"X" * size)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))

    def read():
        while not server.recv(1, socket.MSG_PEEK):
            pass
        time.sleep(0.2)
        libc.munmap(address, size)
        while server.recv(1 << 20):
            pass

    reader = threading.Thread(target=read)
    reader.start()
    assert 0 < libc.write(client.fileno(), address, size) < size
    client.shutdown(socket.SHUT_WR)
    reader.join()
    os._exit(0)  # The mapping must not be released again.


def fastopen():
    """Data with the SYN, in a network namespace that allows it. The first connection gets the cookie for it."""
    assert libc.unshare(0x40000000) == 0
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh22x", b"lo", 0x41))
    with open("/proc/sys/net/ipv4/tcp_fastopen", "w") as setting:
        setting.write("3")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
        for _ in range(2):
            with socket.socket() as client:
                assert client.sendto(b"ping", socket.MSG_FASTOPEN, listener.getsockname()) == 4
                with listener.accept()[0] as server:
                    assert server.recv(4) == b"ping"
                    server.sendall(b"pong")
                    assert client.recv(4) == b"pong"


globals()[sys.argv[1]]()
