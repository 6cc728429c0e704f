"""HTTPS servers: `threads` and `slow` let OpenSSL use the socket, `asyncio` moves the records itself.

`slow` waits 300 ms before it reads a request.
"""
import asyncio
import http.server
import socketserver
import ssl
import sys
import time

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
BODY = b"x" * 700


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        self.request = context.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle_one_request(self):
        if sys.argv[1] == "slow":
            time.sleep(0.3)
        super().handle_one_request()

    def do_GET(self):
        self.send_response(404 if self.path.endswith("/missing") else 200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingTCPServer):
    request_queue_size = 64
    daemon_threads = True


async def answer(reader, writer):
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            missing = head.split()[1].endswith(b"/missing")
            status = b"404 Not Found" if missing else b"200 OK"
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(BODY)) + BODY)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def serve():
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    print("listens on", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if sys.argv[1] == "asyncio":
    asyncio.run(serve())
else:
    with Server(("127.0.0.1", 0), Handler) as server:
        print("listens on", server.server_address[1], flush=True)
        server.serve_forever()
