"""The conversation of tests/programs/README.md by http.server and http.client: blocking sockets, a thread each."""

import http.client
import http.server
import os
import ssl
import sys
import threading
import urllib.parse

BODY = b"x" * 20000


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (b"one ", b"two", b""):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        elif self.path == "/hello":
            self.answer(200, b"hello")
        else:
            self.answer(404, b"missing")

    def do_POST(self):
        self.answer(200, self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def pem(name):
    return os.path.join(os.environ["TLS_FOLDER"], name + ".pem")


def serve(protocol):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if protocol == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem("cert"), pem("key"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


def talk(connection):
    script = [("GET", "/hello", None, 200, b"hello")] * 5
    script += [("GET", "/missing", None, 404, b"missing")] * 2
    script += [("POST", "/echo", BODY, 200, BODY)] * 2
    script += [("GET", "/chunks", None, 200, b"one two")]
    for method, path, sent, status, body in script:
        connection.request(method, path, sent)
        response = connection.getresponse()
        got = (response.status, response.read())
        assert got == (status, body), (method, path, got[0], len(got[1]))
    connection.close()


def call(protocol, target):
    host = urllib.parse.urlsplit(target).netloc

    def connect():
        if protocol == "http":
            return http.client.HTTPConnection(host, timeout=10)
        return http.client.HTTPSConnection(host, timeout=10, context=ssl.create_default_context(cafile=pem("cert")))

    failed = []

    def one():
        try:
            talk(connect())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


if sys.argv[1] == "serve":
    serve(sys.argv[2])
else:
    call(*sys.argv[2:])
