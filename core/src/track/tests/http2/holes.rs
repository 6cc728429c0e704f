//! Bytes that were lost, not captured, or older than the recording.

use super::Wire;
use super::wire::{Fields, data, frame};
use crate::facts::Role;
use crate::synth::frames::{self, ACK, END_HEADERS, PING, PREFACE, SETTINGS};

#[test]
fn data_need_not_be_captured() {
    let mut wire = Wire::new();
    let request = wire.request(1, "/a", true);
    wire.send(">", &[request]);
    let head = wire.response(1, "200", false);
    let trailers = wire.headers("<", 1, true, &[("grpc-status", "0")]);
    let (large, small) = (data(1, false, 50_000), data(1, false, 100));
    let bytes = [head.clone(), large.clone(), small.clone(), trailers.clone()].concat();
    // Heads of frames and all that is not DATA, as the recorder keeps it.
    let second = head.len() + large.len();
    let third = second + small.len();
    wire.script.parts("<", &bytes, &[(0, head.len() + 9), (second, 9), (third, trailers.len())]);
    wire.check(
        "
        start @33 3
        GET /a 3..3 0 | 200 4..4 50100 | Complete 4
        ",
    );
}

#[test]
fn a_hole_in_a_head_leaves_what_was_before_it() {
    let mut wire = Wire::new();
    let fields: Fields<'_> =
        &[(":method", "GET"), (":scheme", "http"), (":path", "/a"), ("cookie", "0123456789"), ("user-agent", "x")];
    let first = wire.headers(">", 1, true, fields);
    wire.script.parts(">", &first, &[(0, first.len() - 6)]);
    // What the first one put into the table, nobody knows; what the second puts there, is known.
    let second = wire.headers(">", 3, true, fields);
    let third = wire.headers(">", 5, true, &[(":method", "PUT"), (":scheme", "http"), (":path", "/b")]);
    let fourth = wire.headers(">", 7, true, &[(":method", "PUT"), (":scheme", "http"), (":path", "/b")]);
    wire.send(">", &[second, third, fourth]);
    let responses = [1, 3, 5, 7].map(|stream| wire.response(stream, "200", true));
    wire.send("<", &responses);
    wire.check(
        "
        start @33 3
        start @61 4
        start @75 4
        start @94 4
        ! unknown_headers
        GET /a 3..3 0 | 200 5..5 0 | Complete 5 truncated
        GET ? 4..4 0 | 200 5..5 0 | Complete 5 truncated
        PUT /b 4..4 0 | 200 5..5 0 | Complete 5
        PUT /b 4..4 0 | 200 5..5 0 | Complete 5
        ",
    );
}

#[test]
fn lost_calls_take_what_they_moved() {
    let mut wire = Wire::new();
    let first = wire.request(1, "/a", true);
    let upload = wire.request(3, "/b", false);
    wire.send(">", &[first, upload]);
    let lost = wire.request(5, "/c", true);
    wire.script.gap(">", lost.len());
    let fourth = wire.headers(">", 7, true, &[(":method", "GET"), (":scheme", "http"), (":path", "/d")]);
    wire.send(">", &[fourth, data(3, true, 10)]);
    let responses = [1, 3, 5, 7].map(|stream| wire.response(stream, "200", true));
    wire.send("<", &responses);
    wire.check(
        "
        start @33 3
        start @51 3
        ! stream_gap
        start @83 4
        GET /a 3..3 0 | 200 5..5 0 | Complete 5
        GET /b 3..4 ? | 200 5..5 0 | Incomplete 5
        GET /d 4..4 0 | 200 5..5 0 | Complete 5
        ! response_without_request
        ",
    );
}

#[test]
fn lost_responses_leave_their_streams_incomplete() {
    let mut wire = Wire::new();
    let requests: Vec<_> = [1, 3, 5].map(|stream| wire.request(stream, "/a", true)).into();
    wire.send(">", &requests);
    let lost = wire.response(1, "200", true);
    wire.script.gap("<", lost.len());
    let response = wire.response(3, "404", true);
    // A call that begins in the middle of a frame tells nothing.
    wire.script.bytes("<", &response[3..]);
    let response = wire.response(5, "500", true);
    wire.send("<", &[response]);
    wire.script.close();
    wire.check(
        "
        start @33 3
        start @51 3
        start @64 3
        ! stream_gap
        GET /a 3..3 0 | 500 5..5 0 | Incomplete 5 truncated
        ! unknown_headers
        GET /a 3..3 0 | Incomplete 6
        GET /a 3..3 0 | Incomplete 6
        ",
    );
}

#[test]
fn a_loss_within_data_keeps_the_framing() {
    let mut wire = Wire::new();
    let request = wire.request(1, "/a", true);
    wire.send(">", &[request]);
    let head = wire.response(1, "200", false);
    let body = data(1, true, 100);
    wire.send("<", &[head, body[..19].to_vec()]);
    wire.script.gap("<", 50);
    wire.script.bytes("<", &body[69..]);
    let request = wire.request(3, "/b", true);
    wire.send(">", &[request]);
    let response = wire.response(3, "200", true);
    wire.send("<", &[response]);
    wire.check(
        "
        start @33 3
        ! stream_gap
        GET /a 3..3 0 | 200 4..5 100 | Incomplete 5
        start @51 6
        GET /b 6..6 0 | 200 7..7 0 | Complete 7
        ",
    );
}

#[test]
fn connections_may_be_joined_in_the_middle() {
    for (role, also) in [(Role::Server, true), (Role::Client, true), (Role::Unknown, false)] {
        let mut wire = Wire::bare(role, true);
        // What both ends have put into their tables before.
        wire.request(1, "/old", true);
        wire.response(1, "200", true);
        if also {
            wire.send("<", &[data(1, true, 5)]);
            wire.send(">", &[frame(PING, 0, 0, &[0; 8])]);
        } else {
            wire.send("<", &[data(1, true, 5), frame(PING, 0, 0, &[0; 8])]);
            wire.send(">", &[frame(PING, 1, 0, &[0; 8])]);
        }
        let requests = [wire.request(3, "/old", true), wire.request(5, "/new", true)];
        wire.send(">", &requests);
        let responses = [wire.response(5, "404", true), wire.response(3, "201", true)];
        wire.send("<", &responses);
        wire.check(
            "
            start @17 3
            start @30 3
            ! unknown_headers
            ! unknown_headers
            GET /new 3..3 0 | 404 4..4 0 | Complete 4 truncated
            GET ? 3..3 0 | 201 4..4 0 | Complete 4 truncated
            ! unknown_headers
            ! unknown_headers
            ",
        );
    }
}

#[test]
fn statuses_that_are_not_known_are_not_guessed() {
    let mut wire = Wire::bare(Role::Server, true);
    wire.response(1, "503", true);
    let grpc: Fields<'_> = &[("grpc-status", "7")];
    wire.headers("<", 1, true, grpc);
    let fields: Fields<'_> =
        &[(":method", "POST"), (":scheme", "http"), (":path", "/p.S/M"), ("content-type", "application/grpc")];
    let calls = [wire.headers(">", 3, true, fields), wire.headers(">", 5, true, fields)];
    wire.send(">", &calls);
    let unknown = wire.response(3, "503", true);
    let head = wire.headers("<", 5, false, &[(":status", "200")]);
    let trailers = wire.headers("<", 5, true, grpc);
    wire.send("<", &[unknown, head, trailers]);
    wire.check(
        "
        start @0 1
        start @31 1
        POST /p.S/M 1..1 0 | Incomplete 2 grpc
        POST /p.S/M 1..1 0 | 200 2..2 0 | Incomplete 2 grpc
        ! unknown_headers
        ! unknown_headers
        ",
    );
}

#[test]
fn the_trailers_of_an_older_request_are_no_request() {
    let mut wire = Wire::bare(Role::Server, true);
    wire.block(">", &[("checksum", "1")]);
    let trailers = wire.headers(">", 7, true, &[("checksum", "1")]);
    let spelled = wire.headers(">", 9, true, &[("checksum", "2")]);
    wire.send(">", &[trailers, spelled]);
    wire.check("! unknown_headers\n! unknown_headers");
}

#[test]
fn late_bytes_leave_the_streams_of_their_time_incomplete() {
    let mut wire = Wire::new();
    let first = wire.request(1, "/a", true);
    let response = wire.response(1, "200", true);
    wire.script.bytes("<", &response);
    // The request was read before that, says its time.
    wire.script.back(3);
    wire.script.bytes(">", &first);
    wire.check(
        "
        ! response_without_request
        start @33 1
        GET /a 1..1 0 | Incomplete 3
        ",
    );
}

#[test]
fn lost_settings_leave_the_size_of_the_table_open() {
    let mut wire = Wire::new();
    let mut settings = Vec::new();
    frames::frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0xff, 0xff], &mut settings);
    wire.script.gap("<", settings.len());
    wire.send("<", &[frame(PING, 0, 0, &[0; 8])]);
    // A table of 65535 bytes.
    let block = [&b"\x3f\xe0\xff\x03"[..], b"\x82\x86\x84"].concat();
    let request = frame(frames::HEADERS, END_HEADERS | 1, 1, &block);
    wire.send(">", std::slice::from_ref(&request));
    wire.check(
        "
        ! stream_gap
        start @33 4
        GET / 4..4 0 | Incomplete 4
        ",
    );
    let mut wire = Wire::new();
    wire.send(">", &[request]);
    wire.check(
        "
        start @33 3
        ! malformed_header_block
        ? ? 3..3 0 | Incomplete 3 truncated
        ",
    );
}

#[test]
fn zeros_in_the_middle_of_a_frame_are_no_frame() {
    let mut wire = Wire::bare(Role::Server, false);
    wire.send(">", &[PREFACE.to_vec(), Wire::settings()]);
    // The first write of the server ends in the middle of a head, and is lost.
    let settings = [Wire::settings(), frame(SETTINGS, ACK, 0, &[])].concat();
    wire.script.line("loss");
    wire.script.gap("<", 4);
    wire.send("<", &[settings[4..].to_vec()]);
    let request = wire.request(1, "/a", true);
    wire.send(">", &[request]);
    let response = wire.response(1, "200", true);
    wire.send("<", &[response]);
    wire.check(
        "
        ! stream_gap
        start @33 4
        GET /a 4..4 0 | 200 5..5 0 | Complete 5
        ",
    );
}
