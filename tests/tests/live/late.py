"""A server that is started late: it listens on the given port and answers a first request 50 ms later, and five in all,
each on a connection of its own."""

import socket
import sys
import threading
import time

REQUESTS = 5
port = int(sys.argv[1])
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", port))
listener.listen()


def ask():
    time.sleep(0.05)
    for number in range(REQUESTS):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /%d HTTP/1.1\r\nHost: late\r\n\r\n" % number)
            while client.recv(4096):
                pass


client = threading.Thread(target=ask)
client.start()
for _ in range(REQUESTS):
    connection, _ = listener.accept()
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    connection.close()
client.join()
