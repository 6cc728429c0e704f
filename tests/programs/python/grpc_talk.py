"""The gRPC conversation of tests/programs/README.md by grpcio. Messages are bytes, so that nothing has to be generated."""

import concurrent.futures
import os
import sys
import threading
import time

import grpc

MESSAGE = b"x" * 5000


def fail(_, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")


def wait(message, context):
    # Until the caller's deadline has passed, and ten seconds at most.
    for _ in range(1000):
        if not context.is_active():
            break
        time.sleep(0.01)
    return message


def hold(message, context):
    yield message
    yield wait(message, context)


def pem(name):
    with open(os.path.join(os.environ["TLS_FOLDER"], name + ".pem"), "rb") as file:
        return file.read()


def serve(protocol):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(lambda message, _: message),
        "Gather": grpc.stream_unary_rpc_method_handler(lambda messages, _: b"".join(messages)),
        "Spread": grpc.unary_stream_rpc_method_handler(lambda message, _: iter([message] * 3)),
        "Both": grpc.stream_stream_rpc_method_handler(lambda messages, _: messages),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Wait": grpc.unary_unary_rpc_method_handler(wait),
        "Hold": grpc.unary_stream_rpc_method_handler(hold),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("redtape.Talk", handlers),))
    if protocol == "grpcs":
        keys = grpc.ssl_server_credentials([(pem("key"), pem("cert"))])
        port = server.add_secure_port("127.0.0.1:0", keys)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


def code(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def connect(target):
    # Without the option all channels of a process share one connection.
    options = [("grpc.use_local_subchannel_pool", 1)]
    scheme, address = target.split("://")
    if scheme == "https":
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(pem("cert")), options)
    return grpc.insecure_channel(address, options)


def talk(target):
    with connect(target) as channel:
        unary = lambda method: channel.unary_unary(f"/redtape.Talk/{method}")
        for _ in range(5):
            assert unary("Unary")(MESSAGE) == MESSAGE
        for _ in range(2):
            assert code(lambda: unary("Fail")(MESSAGE)) == grpc.StatusCode.NOT_FOUND
        # A server that holds the caller's deadline too may be the first to give up.
        expired = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
        assert code(lambda: unary("Wait")(MESSAGE, timeout=0.2)) in expired
        # The connection is open until the server has heard of it.
        assert unary("Unary")(MESSAGE) == MESSAGE
        assert channel.stream_unary("/redtape.Talk/Gather")(iter([MESSAGE] * 3)) == MESSAGE * 3
        assert list(channel.unary_stream("/redtape.Talk/Spread")(MESSAGE)) == [MESSAGE] * 3
        assert list(channel.stream_stream("/redtape.Talk/Both")(iter([MESSAGE] * 3))) == [MESSAGE] * 3
        held = channel.unary_stream("/redtape.Talk/Hold")(MESSAGE)
        assert next(held) == MESSAGE
        held.cancel()
        assert code(lambda: next(held)) == grpc.StatusCode.CANCELLED
        # The connection is open until the server has heard of it.
        assert unary("Unary")(MESSAGE) == MESSAGE


def call(target):
    failed = []

    def one():
        try:
            talk(target)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


if sys.argv[1] == "serve":
    serve(sys.argv[2])
else:
    call(sys.argv[3])
