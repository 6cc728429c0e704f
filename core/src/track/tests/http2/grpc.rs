//! gRPC: what its calls end with.

use super::Wire;
use super::wire::{Fields, data, reset};

fn call(wire: &mut Wire, stream: u32, content_type: &str) -> Vec<u8> {
    let fields: Fields<'_> = &[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/p.S/M"),
        ("content-type", content_type),
        ("te", "trailers"),
    ];
    wire.headers(">", stream, false, fields)
}

const HEAD: Fields<'_> = &[(":status", "200"), ("content-type", "application/grpc")];

#[test]
fn a_unary_call_ends_with_its_trailers() {
    let mut wire = Wire::new();
    let call = call(&mut wire, 1, "application/grpc+proto");
    wire.send(">", &[call, data(1, true, 9)]);
    let head = wire.headers("<", 1, false, HEAD);
    let trailers = wire.headers("<", 1, true, &[("grpc-status", "0"), ("grpc-message", "")]);
    wire.send("<", &[head, data(1, false, 20)]);
    wire.send("<", &[trailers]);
    wire.check(
        "
        start @33 3
        POST /p.S/M 3..3 9 | 200/0 4..5 20 | Complete 5 grpc
        ",
    );
}

#[test]
fn streams_of_messages_end_with_the_stream() {
    let mut wire = Wire::new();
    let call = call(&mut wire, 1, "application/grpc");
    wire.send(">", &[call]);
    let head = wire.headers("<", 1, false, HEAD);
    wire.send("<", &[head]);
    for _ in 0..3 {
        wire.send(">", &[data(1, false, 7)]);
        wire.send("<", &[data(1, false, 11)]);
    }
    wire.send(">", &[data(1, true, 0)]);
    let trailers = wire.headers("<", 1, true, &[("grpc-status", "13")]);
    wire.send("<", &[trailers]);
    wire.check(
        "
        start @33 3
        POST /p.S/M 3..11 21 | 200/13 4..12 33 | Complete 12 grpc
        ",
    );
}

#[test]
fn the_status_of_responses_without_body_or_trailers() {
    let mut wire = Wire::new();
    let calls: Vec<_> = [1, 3, 5, 7].map(|stream| call(&mut wire, stream, "application/grpc")).into();
    wire.send(">", &calls);
    let only: Fields<'_> = &[(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "12")];
    let only = wire.headers("<", 1, true, only);
    let silent = wire.headers("<", 3, false, HEAD);
    let refused = wire.headers("<", 5, true, &[(":status", "503")]);
    wire.send("<", &[only, silent, data(3, true, 4), refused]);
    wire.send(">", &[reset(7, 8)]);
    wire.check(
        "
        start @33 3
        start @75 3
        start @89 3
        start @103 3
        POST /p.S/M 3..3 ? | 200/12 4..4 0 | Complete 4 grpc
        POST /p.S/M 3..3 ? | 200/2 4..4 4 | Complete 4 grpc
        POST /p.S/M 3..3 ? | 503/14 4..4 0 | Complete 4 grpc
        POST /p.S/M 3..3 ? | Reset 5 reset 8 grpc
        ",
    );
}

#[test]
fn grpc_web_and_connect_are_http() {
    for content_type in ["application/grpc-web+proto", "application/connect+proto", "application/proto"] {
        let mut wire = Wire::new();
        let call = call(&mut wire, 1, content_type);
        wire.send(">", &[call]);
        let end = wire.headers("<", 1, true, &[(":status", "200"), ("grpc-status", "5")]);
        wire.send("<", &[end]);
        wire.check(
            "
            start @33 3
            POST /p.S/M 3..3 ? | 200 4..4 0 | Complete 4
            ",
        );
    }
}
