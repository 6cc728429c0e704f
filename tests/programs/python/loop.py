"""The conversation of tests/programs/README.md by uvicorn and httpx: one thread, an asyncio event loop."""

import asyncio
import os
import sys

BODY = b"x" * 20000


async def app(scope, receive, send):
    assert scope["type"] == "http"
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    path = scope["path"]
    if path == "/chunks":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})
        return
    known = {"/hello": (200, b"hello"), "/echo": (200, body)}
    status, body = known.get(path, (404, b"missing"))
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def pem(name):
    return os.path.join(os.environ["TLS_FOLDER"], name + ".pem")


def serve(protocol):
    import socket

    import uvicorn

    tls = {"ssl_certfile": pem("cert"), "ssl_keyfile": pem("key")} if protocol == "https" else {}
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="error", http="h11", loop="asyncio", **tls))
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
    server.run(sockets=[listener])


async def talk(client):
    script = [("GET", "/hello", None, 200, b"hello")] * 5
    script += [("GET", "/missing", None, 404, b"missing")] * 2
    script += [("POST", "/echo", BODY, 200, BODY)] * 2
    script += [("GET", "/chunks", None, 200, b"one two")]
    for method, path, sent, status, body in script:
        response = await client.request(method, path, content=sent)
        assert (response.status_code, response.content) == (status, body), (method, path, response)


async def call(protocol, target):
    import ssl

    import httpx

    verify = ssl.create_default_context(cafile=pem("cert")) if target.startswith("https") else True
    two = protocol in ("h2", "h2c")
    async with httpx.AsyncClient(base_url=target, verify=verify, http1=not two, http2=two) as client:
        await asyncio.gather(*(talk(client) for _ in range(4)))


if sys.argv[1] == "serve":
    serve(sys.argv[2])
else:
    asyncio.run(call(*sys.argv[2:]))
