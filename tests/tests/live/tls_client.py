"""Sends requests over several TLS connections at once: PORT CONNECTIONS REQUESTS.

The first segment of each path is the port that the connection has here.
"""
import http.client
import socket
import ssl
import sys
import threading
import time

port, connections, requests = (int(argument) for argument in sys.argv[1:])
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
# What records this needs a moment to find the library.
time.sleep(0.5)
together = threading.Barrier(connections)
failed = []


def run():
    try:
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)
        plain = socket.create_connection(("127.0.0.1", port), timeout=60)
        local = plain.getsockname()[1]
        together.wait()
        connection.sock = context.wrap_socket(plain, server_hostname="localhost")
        for number in range(requests):
            name = "missing" if number == 1 else number
            connection.request("GET", f"/{local}/{name}")
            connection.getresponse().read()
        connection.close()
    except Exception as error:
        together.abort()
        failed.append(error)


threads = [threading.Thread(target=run) for _ in range(connections)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if failed:
    sys.exit(f"{len(failed)} connections failed, the first: {failed[0]!r}")
