"""HTTP/2 by hand: frames.py CASE, on a loopback connection of its own.

Prints what was sent, as hexadecimal digits: the client's stream in the first line, the server's in the second.
"""

import os
import socket
import struct
import sys
import tempfile
import threading
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4


def frame(kind, payload=b"", flags=0, stream=1):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def some(length, salt=0):
    """Bytes of which no two neighbouring runs are alike, and that look like frame heads now and then."""
    return bytes((at * 37 + (at >> 8) + salt) & 0xff if at % 64 > 8 else (0, 0, 9, 1, 4, 0, 0, 0, 1)[at % 64] for at in range(length))


SETTING = frame(SETTINGS, bytes([0, 3, 0, 0, 0, 100]), stream=0)
HEAD = frame(HEADERS, some(200, 1), END_HEADERS)
TRAILERS = frame(HEADERS, some(40, 2), END_STREAM | END_HEADERS)
BODY = some(1 << 20)
CHUNKS = [frame(DATA, BODY[at:at + 16384]) for at in range(0, len(BODY), 16384)]


class Side:
    def __init__(self, sock, receive=lambda sock: sock.recv(33333)):
        self.sock = sock
        self.sent = b""
        self.receive = receive
        self.reader = None
        self.heard = False

    def send(self, data):
        self.sent += data
        self.sock.sendall(data)

    def send_parts(self, parts):
        """By one sendmsg, which must take all."""
        data = b"".join(parts)
        self.sent += data
        assert self.sock.sendmsg(parts) == len(data)

    def send_file(self, data):
        self.sent += data
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            at = 0
            while at < len(data):
                at += os.sendfile(self.sock.fileno(), file.fileno(), at, len(data) - at)

    def drain(self):
        def loop():
            while self.receive(self.sock):
                self.heard = True
        self.reader = threading.Thread(target=loop)
        self.reader.start()


def pair():
    with socket.socket() as listener:
        # One call is to take 1 MiB: set before the handshake, for the windows.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        client.connect(listener.getsockname())
        return Side(client), Side(listener.accept()[0])


def into_small_buffers(sock):
    sizes = (3, 7, 1, 500, 4, 5, 20000)
    return sock.recvmsg_into([bytearray(size) for size in sizes])[0]


def exchange(client, server):
    """Every kind of frame, cut anywhere: by calls of odd sizes, and by the segments of iovecs."""
    client.receive = into_small_buffers
    client.send(PREFACE + SETTING)
    assert len(server.sock.recv(24)) == 24
    server.drain()
    server.send(SETTING)
    client.drain()
    client.send(frame(HEADERS, some(300), 0) + frame(CONTINUATION, some(500), 0) + frame(CONTINUATION, b"", END_HEADERS))
    client.send(frame(DATA, b"short") + frame(PING, b"12345678", stream=0) + frame(DATA, some(17), END_STREAM))
    server.send(frame(PUSH_PROMISE, some(60), END_HEADERS) + HEAD)
    stream = b"".join(CHUNKS) + TRAILERS
    for at in range(0, len(stream), 50001):
        server.send(stream[at:at + 50001])
    server.send_parts([TRAILERS[:3], b"", TRAILERS[3:8], TRAILERS[8:20], TRAILERS[20:] + CHUNKS[0][:4], CHUNKS[0][4:]])
    server.send_parts([CHUNKS[1][:9], CHUNKS[1][9:12], CHUNKS[1][12:], TRAILERS])
    for at in range(0, len(HEAD)):
        server.send(HEAD[at:at + 1])
    server.send(CHUNKS[2][:9])
    server.send_file(CHUNKS[2][9:])
    server.send(TRAILERS)
    client.send(frame(RST_STREAM, bytes(4), stream=3))
    client.send(frame(WINDOW_UPDATE, bytes(4), stream=0) + frame(GOAWAY, bytes(8) + b"enough", stream=0))


def opening(client, server):
    client.send(PREFACE + SETTING)
    server.drain()
    server.send(SETTING)
    client.drain()


def one_write(client, server):
    """1 MiB of DATA and the trailers in one call."""
    opening(client, server)
    server.send_parts([HEAD + b"".join(CHUNKS) + TRAILERS])
    server.send(HEAD)


def too_many(client, server):
    """More frames in one call than are looked at; the next call begins with a frame."""
    opening(client, server)
    server.send_parts([frame(DATA, some(20)) * 500 + TRAILERS])
    server.send_parts([HEAD, CHUNKS[0], TRAILERS])


def long_heads(client, server):
    """More bytes of heads in one call than are kept; the next ones are."""
    opening(client, server)
    long = frame(HEADERS, some(16384), 0) + frame(CONTINUATION, some(16384), 0) + frame(CONTINUATION, some(99), END_HEADERS)
    server.send_parts([long])
    server.send_parts([CHUNKS[0], TRAILERS])


def eager(client, server):
    """A server that does not wait for the client's preface: it is not known yet what its first call is."""
    server.send(SETTING)
    assert len(client.sock.recv(100)) == len(SETTING)
    client.send(PREFACE + SETTING)
    server.drain()
    client.drain()
    while not server.heard:
        time.sleep(0.001)
    server.send(HEAD + CHUNKS[0] + TRAILERS)


def refused(client, server):
    """A server that does not speak it."""
    client.send(PREFACE + SETTING)
    server.drain()
    server.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    client.drain()


def main():
    client, server = pair()
    globals()[sys.argv[1]](client, server)
    for side in (client, server):
        side.sock.shutdown(socket.SHUT_WR)
    for side in (client, server):
        side.reader.join()
        side.sock.close()
    print(client.sent.hex())
    print(server.sent.hex())


main()
