"""WebSocket by the `websockets` package: four connections at once, each an upgrade and messages both ways."""

import asyncio
import sys

import websockets


async def serve():
    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async with websockets.serve(echo, "127.0.0.1", 0) as server:
        print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


async def talk(target, number):
    async with websockets.connect(f"{target}/talk/{number}") as connection:
        for message in ["hello", "x" * 20000, b"GET /not-a-request HTTP/1.1\r\nHost: nobody\r\n\r\n"]:
            await connection.send(message)
            assert await connection.recv() == message


async def call(target):
    await asyncio.gather(*(talk(target.replace("http", "ws", 1), number) for number in range(4)))


asyncio.run(serve() if sys.argv[1] == "serve" else call(sys.argv[3]))
