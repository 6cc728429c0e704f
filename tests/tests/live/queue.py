"""A server that waits before it accepts and before it reads, and a client that says when it sent.

Prints one JSON object for each request: the monotonic times, in nanoseconds, before and after each step. What the
kernel sees of a step lies between the two.
"""

import json
import socket
import threading
import time

REQUESTS = 5
listener = socket.create_server(("127.0.0.1", 0))
answered = threading.Barrier(2)
served = []


def timed(step):
    before = time.monotonic_ns()
    result = step()
    return result, [before, time.monotonic_ns()]


def serve():
    for _ in range(REQUESTS):
        answered.wait()
        time.sleep(0.06)
        (connection, _), accept = timed(listener.accept)
        time.sleep(0.04)
        request, receive = timed(lambda: connection.recv(4096))
        assert request.endswith(b"\r\n\r\n"), request
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        connection.close()
        served.append({"accept": accept, "receive": receive})


server = threading.Thread(target=serve)
server.start()
sent = []
for number in range(REQUESTS):
    answered.wait()
    client, connect = timed(lambda: socket.create_connection(listener.getsockname()))
    request = b"GET /%d HTTP/1.1\r\nHost: queue\r\n\r\n" % number
    _, send = timed(lambda: client.sendall(request))
    while client.recv(4096):
        pass
    client.close()
    sent.append({"path": "/%d" % number, "connect": connect, "send": send})
server.join()
for client, server in zip(sent, served):
    print(json.dumps({**client, **server}))
