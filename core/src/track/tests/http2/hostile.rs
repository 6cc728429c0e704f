//! Frames that are malformed, too many or too large.

use super::Wire;
use super::wire::{GET, assert_lines, data, frame, reset};
use crate::limits::Limits;
use crate::synth::frames::{CONTINUATION, DATA, END_HEADERS, HEADERS, PADDED, PING, RST_STREAM, SETTINGS};

/// Sends frames between a request and its response, which is not hurt by them.
#[track_caller]
fn check_between(frames: &[Vec<u8>], expected: &str) {
    let mut wire = Wire::new();
    let request = wire.headers(">", 1, true, GET);
    wire.send(">", &[request]);
    wire.send(">", frames);
    let response = wire.headers("<", 1, true, &[(":status", "200")]);
    wire.send("<", &[response]);
    wire.check(&format!("start @33 3\n{expected}\nGET /a 3..3 0 | 200 5..5 0 | Complete 5"));
}

#[test]
fn malformed_frames_are_counted_and_passed_by() {
    for bad in [
        frame(PING, 0, 0, &[0; 7]),
        frame(PING, 0, 1, &[0; 8]),
        frame(RST_STREAM, 0, 1, &[0; 5]),
        frame(RST_STREAM, 0, 0, &[0; 4]),
        frame(SETTINGS, 0, 0, &[0; 7]),
        frame(DATA, 0, 0, &[0; 7]),
        frame(CONTINUATION, END_HEADERS, 1, &[0x82]),
        frame(HEADERS, END_HEADERS | PADDED, 3, &[9, 0x82]),
        frame(HEADERS, END_HEADERS, 2, &[0x82, 0x86, 0x84]),
    ] {
        check_between(&[bad], "! malformed_frame");
    }
}

#[test]
fn header_blocks_that_are_none() {
    let mut wire = Wire::new();
    let request = wire.headers(">", 1, true, GET);
    wire.send(">", &[request, frame(HEADERS, END_HEADERS | 1, 3, &[0x82, 0x40, 9]), reset(3, 9)]);
    let response = wire.response(1, "200", true);
    wire.send("<", &[response]);
    wire.check(
        "
        start @33 3
        start @53 3
        GET ? 3..3 0 | Reset 3 reset 9 truncated
        ! malformed_header_block
        GET /a 3..3 0 | 200 4..4 0 | Complete 4
        ",
    );
    // A block that another frame interrupts: what it has is a request, of which nothing more comes.
    let mut wire = Wire::new();
    wire.send(">", &[frame(HEADERS, 0, 1, &[0x82, 0x86]), frame(PING, 0, 0, &[0; 8])]);
    wire.send(">", &[frame(CONTINUATION, END_HEADERS, 1, &[0x84])]);
    wire.check(
        "
        start @33 3
        ! malformed_frame
        ! malformed_frame
        GET ? 3..3 ? | Incomplete 4 truncated
        ",
    );
}

#[test]
fn streams_are_not_used_twice() {
    let mut wire = Wire::new();
    let requests = [wire.request(5, "/a", true), wire.request(5, "/b", true), wire.request(3, "/c", true)];
    wire.send(">", &requests);
    let responses = [wire.response(5, "200", true), wire.response(3, "404", true)];
    wire.send("<", &responses);
    wire.check(
        "
        start @33 3
        ! stream_reuse
        ! stream_reuse
        GET /a 3..3 0 | 200 4..4 0 | Complete 4
        ! response_without_request
        ",
    );
}

#[test]
fn too_many_streams_push_out_the_oldest() {
    let mut wire = Wire::new();
    let requests: Vec<_> = [1, 3, 5].map(|stream| wire.request(stream, "/a", true)).into();
    wire.send(">", &requests);
    let responses = [1, 3, 5].map(|stream| wire.response(stream, "200", true));
    wire.send("<", &responses);
    let found = wire.found_with(&Limits { streams: 2, ..Limits::default() });
    assert_lines(
        &found,
        "
        start @33 3
        start @51 3
        GET /a 3..3 0 | Incomplete 3
        start @64 3
        ! stream_overflow
        GET /a 3..3 0 | 200 4..4 0 | Complete 4
        GET /a 3..3 0 | 200 4..4 0 | Complete 4
        ",
    );
}

#[test]
fn endless_blocks_are_cut_off() {
    let mut wire = Wire::new();
    wire.send(">", &[frame(HEADERS, 1, 1, &[0x82, 0x86, 0x84])]);
    // Each a field of 30 bytes that nobody asks for.
    let more = [&[0, 1, b'a', 26][..], &[b'x'; 26]].concat();
    for _ in 0..200 {
        wire.send(">", &[frame(CONTINUATION, 0, 1, &more)]);
    }
    wire.send(">", &[frame(CONTINUATION, END_HEADERS, 1, &[])]);
    let next = wire.request(3, "/b", true);
    wire.send(">", &[next]);
    let responses = [wire.response(1, "431", true), wire.response(3, "200", true)];
    wire.send("<", &responses);
    let found = wire.found_with(&Limits { head_bytes: 1 << 10, ..Limits::default() });
    let expected = "
        ! head_too_long
        start @33 3
        ! head_too_long
        start @7854 205
        GET / 3..204 0 | 431 206..206 0 | Complete 206 truncated
        GET /b 205..205 0 | 200 206..206 0 | Complete 206
        ";
    assert_lines(&found, expected);
}

#[test]
fn a_bomb_of_indices_is_read_up_to_the_limit() {
    let mut wire = Wire::new();
    let long = "x".repeat(3000);
    let mut block = wire.block(">", &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("user-agent", &long)]);
    // The newest entry of the table, thousands of times.
    block.extend_from_slice(&[0xbe; 8000]);
    let large = frame(HEADERS, END_HEADERS | 1, 1, &block);
    wire.send(">", &[large]);
    let next = wire.request(3, "/", true);
    wire.send(">", &[next]);
    let responses = [wire.response(1, "200", true), wire.response(3, "200", true)];
    wire.send("<", &responses);
    wire.check(&format!(
        "
        start @33 3
        ! head_too_long
        start @{} 4
        GET / 3..3 0 | 200 5..5 0 | Complete 5 truncated
        GET / 4..4 0 | 200 5..5 0 | Complete 5
        ",
        33 + 9 + block.len()
    ));
}

#[test]
fn a_table_larger_than_is_kept_is_said_once() {
    let mut wire = Wire::new();
    let requests = [wire.request(1, "/a", true), wire.request(3, "/a", true), wire.request(5, "/a", true)];
    wire.send(">", &requests);
    let found = wire.found_with(&Limits { header_table_bytes: 64, ..Limits::default() });
    assert_lines(
        &found,
        "
        start @33 3
        start @51 3
        start @64 3
        ! unknown_headers
        ! unknown_headers
        ! header_table_overflow
        GET /a 3..3 0 | Incomplete 3
        GET ? 3..3 0 | Incomplete 3 truncated
        GET ? 3..3 0 | Incomplete 3 truncated
        ",
    );
}

#[test]
fn padding_is_no_body() {
    let mut wire = Wire::new();
    let request = wire.headers(">", 1, false, GET);
    let padded = frame(DATA, PADDED, 1, &[200, 0, 0]);
    wire.send(">", &[request, padded, frame(DATA, PADDED, 1, &[]), data(1, true, 3)]);
    let response = wire.headers("<", 1, true, &[(":status", "200")]);
    wire.send("<", &[response]);
    wire.check(
        "
        start @33 3
        ! malformed_frame
        ! malformed_frame
        GET /a 3..3 ? | 200 4..4 0 | Complete 4
        ",
    );
}
