"""An OTLP receiver that answers as it is told to, over HTTP or gRPC, in TLS where there is a certificate.

    receiver.py http|grpc ANSWERS [FORWARD]

ANSWERS are separated by commas, and the last is given for ever: a status of HTTP or gRPC's name of one, either with a wait in
seconds behind a slash; `ok`, `slow` (an answer after a minute), `reject` (it rejects 3), `reset` (the connection is closed). What is
taken over HTTP is unpacked and sent on to FORWARD. Each request is a line on standard output.
"""

import gzip
import http.server
import os
import ssl
import sys
import threading
import time
import urllib.request

# ExportTraceServiceResponse { partial_success { rejected_spans: 3, error_message: "too old" } }
REJECTED = b"\n\x0b\x08\x03\x12\x07too old"


class Script:
    """The answers, one after the other."""

    def __init__(self, answers):
        self.answers, self.lock = answers, threading.Lock()

    def next(self):
        with self.lock:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        print(f"request {answer}", flush=True)
        name, _, wait = answer.partition("/")
        if name == "slow":
            time.sleep(60)
        return name, wait


def serve_http(script, forward, folder):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            name, wait = script.next()
            if name == "reset":
                self.close_connection = True
                return
            packed = self.headers.get("content-encoding") == "gzip"
            if forward and name in ("ok", "reject"):
                headers = {"content-type": self.headers["content-type"]}
                body = gzip.decompress(body) if packed else body
                url = forward.rstrip("/") + self.path
                urllib.request.urlopen(urllib.request.Request(url, body, headers)).read()
                print(f"forwarded packed={packed}", flush=True)
            answer = REJECTED if name == "reject" else b""
            self.send_response(int(name) if name.isdigit() else 200)
            if wait:
                self.send_header("retry-after", wait)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if folder:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
        if os.path.exists(f"{folder}/client-ca.pem"):
            context.load_verify_locations(f"{folder}/client-ca.pem")
            context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()


def serve_grpc(script, folder):
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    def export(_, context):
        name, _ = script.next()
        if name not in ("ok", "reject"):
            context.abort(grpc.StatusCode[name], "as told")
        return REJECTED if name == "reject" else b""

    class Service(grpc.GenericRpcHandler):
        def service(self, details):
            return grpc.unary_unary_rpc_method_handler(export)

    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Service(),))
    if folder:
        pair = tuple(open(f"{folder}/{name}.pem", "rb").read() for name in ("key", "cert"))
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials((pair,)))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"listening on {port}", flush=True)
    server.wait_for_termination()


def main():
    kind, answers, *forward = sys.argv[1:]
    script, folder = Script(answers.split(",")), os.environ.get("TLS_FOLDER")
    if kind == "grpc":
        serve_grpc(script, folder)
    else:
        serve_http(script, forward[0] if forward else None, folder)


main()
