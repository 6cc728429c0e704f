//! Whole conversations.

use super::Wire;
use super::wire::{Fields, GET, PRIORITY, PUSH_PROMISE, data, frame};
use crate::exchange::What;
use crate::facts::Role;
use crate::limits::Limits;
use crate::synth::frames::{self, ACK, CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PADDED};
use crate::track::tests::script::run;

#[test]
fn streams_that_overlap_get_their_own_responses() {
    let mut wire = Wire::new();
    let requests = [wire.request(1, "/1", true), wire.request(3, "/3", false), wire.request(5, "/5", true)];
    wire.send(">", &requests);
    let five = wire.response(5, "404", true);
    wire.send("<", &[five]);
    let three = wire.response(3, "500", false);
    let one = wire.response(1, "200", false);
    wire.send("<", &[three, one, data(1, false, 10), data(3, false, 4)]);
    wire.send(">", &[data(3, true, 7)]);
    wire.send("<", &[data(1, true, 5), data(3, true, 0)]);
    wire.script.close();
    wire.check(
        "
        start @33 3
        start @51 3
        start @67 3
        GET /5 3..3 0 | 404 4..4 0 | Complete 4
        GET /1 3..3 0 | 200 5..7 15 | Complete 7
        GET /3 3..6 7 | 500 5..7 4 | Complete 7
        ",
    );
}

#[test]
fn the_parts_of_a_head_are_what_telemetry_asks_for() {
    let mut wire = Wire::bare(Role::Client, false);
    let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let fields: Fields<'_> = &[
        (":method", "PUT"),
        (":scheme", "http"),
        (":path", "/a?b"),
        (":authority", "example.test:81"),
        ("user-agent", "agent/1"),
        ("traceparent", context),
        ("cookie", "a=b"),
    ];
    let head = wire.headers(">", 1, true, fields);
    wire.send(">", &[frames::PREFACE.to_vec(), Wire::settings(), head]);
    let hints = wire.headers("<", 1, false, &[(":status", "103"), ("link", "</a>")]);
    let response = wire.response(1, "204", true);
    wire.send("<", &[Wire::settings(), frame(frames::SETTINGS, ACK, 0, &[]), hints, response]);
    let found = run(&wire.script.events, &Limits::default());
    let exchange = found.iter().find_map(|finding| match &finding.what {
        What::Ended(exchange) => Some(exchange),
        _ => None,
    });
    let exchange = exchange.unwrap();
    let head = &exchange.request.head;
    assert_eq!((head.method(), head.target(), head.host()), ("PUT", "/a?b", Some("example.test:81")));
    assert_eq!((head.user_agent(), head.version.as_str()), (Some("agent/1"), "2"));
    assert_eq!(head.context.map(|context| context.parent_id.to_string()).as_deref(), Some("b7ad6b7169203331"));
    assert_eq!((exchange.request.message.pos, exchange.response.as_ref().unwrap().status), (33, 204));
}

#[test]
fn blocks_come_in_pieces_with_padding_and_priority() {
    let mut wire = Wire::new();
    let block = wire.block(">", GET);
    let (first, rest) = block.split_at(3);
    let (second, third) = rest.split_at(4);
    let padded = [&[4][..], &[0, 0, 0, 0, 16], first, &[0; 4]].concat();
    wire.send(">", &[frame(HEADERS, END_STREAM | PADDED | PRIORITY, 1, &padded)]);
    wire.send(">", &[frame(CONTINUATION, 0, 1, second), frame(CONTINUATION, 0, 1, &[])]);
    wire.send(">", &[frame(CONTINUATION, END_HEADERS, 1, third)]);
    let response = wire.response(1, "200", false);
    let body = frame(frames::DATA, PADDED | END_STREAM, 1, &[&[5][..], b"hello", &[0; 5]].concat());
    wire.send("<", &[response, frame(frames::DATA, PADDED, 1, &[0]), body]);
    wire.check(
        "
        start @33 3
        GET /a 3..5 0 | 200 6..6 5 | Complete 6
        ",
    );
}

#[test]
fn frames_of_other_kinds_are_passed_by() {
    let mut wire = Wire::new();
    let request = wire.headers(">", 1, true, GET);
    let window = frame(frames::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 9]);
    let ping = frame(frames::PING, 0, 0, &[7; 8]);
    let unknown = frame(0xbe, 0xff, 0x8000_0001, b"grease");
    wire.send(">", &[window, request, frame(2, 0, 1, &[0; 5]), ping.clone(), unknown]);
    // A push: its blocks change the table of the server's direction, and its stream is no exchange.
    let promise = wire.block("<", &[(":method", "GET"), (":path", "/pushed"), ("server", "s")]);
    let promise = frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &promise].concat());
    let pushed = wire.headers("<", 2, false, &[(":status", "200"), ("server", "s")]);
    let response = wire.response(1, "302", true);
    wire.send("<", &[frame(6, ACK, 0, &[7; 8]), promise, pushed, data(2, true, 3), response]);
    wire.check(
        "
        start @46 3
        GET /a 3..3 0 | 302 4..4 0 | Complete 4
        ",
    );
}

#[test]
fn servers_may_speak_first() {
    for role in [Role::Server, Role::Client, Role::Unknown] {
        let mut wire = Wire::bare(role, false);
        let settings = Wire::settings();
        // The first bytes may be too few to tell.
        wire.script.bytes("<", &settings[..5]);
        wire.script.bytes("<", &settings[5..]);
        let request = wire.headers(">", 1, true, GET);
        wire.send(">", &[frames::PREFACE.to_vec(), Wire::settings(), request]);
        let response = wire.response(1, "200", true);
        wire.send("<", &[response]);
        wire.check(
            "
            start @33 3
            GET /a 3..3 0 | 200 4..4 0 | Complete 4
            ",
        );
    }
}

#[test]
fn tunnels_end_where_they_begin() {
    let mut wire = Wire::new();
    let plain = wire.headers(">", 1, false, &[(":method", "CONNECT"), (":authority", "h:443")]);
    let socket: Fields<'_> = &[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/chat"),
        (":authority", "h"),
    ];
    let socket = wire.headers(">", 3, false, socket);
    let refused = wire.headers(">", 5, false, &[(":method", "CONNECT"), (":authority", "h:1")]);
    wire.send(">", &[plain, socket, refused]);
    let answers = [wire.response(1, "200", false), wire.response(3, "200", false), wire.response(5, "403", true)];
    wire.send("<", &answers);
    wire.send(">", &[data(1, false, 9), data(3, true, 9)]);
    wire.send("<", &[data(1, true, 9), data(3, true, 9)]);
    wire.check(
        "
        start @33 3
        start @57 3
        start @94 3
        CONNECT h:443 3..3 0 | 200 4..4 0 | Complete 4
        CONNECT /chat 3..3 0 | 200 4..4 0 | Complete 4
        CONNECT h:1 3..3 ? | 403 4..4 0 | Complete 4
        ",
    );
}

#[test]
fn an_upgraded_request_is_answered_on_stream_1() {
    let mut wire = Wire::bare(Role::Server, false);
    wire.script.bytes(
        ">",
        b"GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n",
    );
    let response = wire.response(1, "200", false);
    let switching = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    wire.send("<", &[switching.to_vec(), Wire::settings(), response]);
    let next = wire.headers(">", 3, true, GET);
    wire.send(">", &[frames::PREFACE.to_vec(), Wire::settings(), next]);
    let other = wire.response(3, "404", true);
    wire.send("<", &[data(1, true, 6), other]);
    wire.check(
        "
        start @0 1
        start @131 3
        GET /up 1..1 0 | 200 2..4 6 | Complete 4
        GET /a 3..3 0 | 404 4..4 0 | Complete 4
        ",
    );
}

#[test]
fn queue_time_is_each_streams_own() {
    let mut wire = Wire::new();
    let requests = [wire.request(1, "/1", true), wire.request(3, "/3", true)].concat();
    let [first, second] = [18, requests.len()];
    let conn = wire.script.events[0].as_event().body.conn().unwrap();
    wire.script.arrive(conn, first as u64);
    wire.script.arrive(conn, second as u64);
    wire.script.bytes(">", &requests);
    let responses = [wire.response(3, "200", true), wire.response(1, "200", true)];
    wire.send("<", &responses);
    wire.check(
        "
        start @33 5
        start @51 5
        GET /3 5..5 0 | 200 6..6 0 | Complete 6 arrived 4
        GET /1 5..5 0 | 200 6..6 0 | Complete 6 arrived 3
        ",
    );
}
