//! How streams end, other than by a whole response.

use super::Wire;
use super::wire::{data, frame, reset};
use crate::synth::frames::GOAWAY;

fn go_away(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

#[test]
fn either_end_may_reset_a_stream() {
    let mut wire = Wire::new();
    let requests: Vec<_> = [1, 3, 5, 7].map(|stream| wire.request(stream, "/r", stream != 7)).into();
    wire.send(">", &requests);
    let responses = [wire.response(1, "200", false), wire.response(5, "200", true), wire.response(7, "413", true)];
    wire.send("<", &[responses.concat(), data(1, false, 5)]);
    // A client that has the whole response, or has no use for it; late frames for these are no surprise.
    wire.send(">", &[reset(1, 8), reset(5, 0), reset(7, 0)]);
    wire.send("<", &[data(1, true, 5), reset(3, 7)]);
    wire.script.close();
    wire.check(
        "
        start @33 3
        start @51 3
        start @64 3
        start @77 3
        GET /r 3..3 0 | 200 4..4 0 | Complete 4
        GET /r 3..3 ? | 413 4..4 0 | Complete 4
        GET /r 3..3 0 | 200 4..4 5 | Reset 5 reset 8
        GET /r 3..3 0 | Reset 6 reset 7
        ",
    );
}

#[test]
fn a_response_that_crosses_a_reset_is_not_counted() {
    let mut wire = Wire::new();
    let request = wire.request(1, "/r", true);
    wire.send(">", &[request, reset(1, 8)]);
    let response = wire.response(1, "200", true);
    wire.send("<", &[response]);
    // A response to a request that nobody has seen is.
    let response = wire.response(9, "200", true);
    wire.send("<", &[response]);
    wire.check(
        "
        start @33 3
        GET /r 3..3 0 | Reset 3 reset 8
        ! response_without_request
        ",
    );
}

#[test]
fn a_connection_that_is_given_up() {
    let mut wire = Wire::new();
    let requests: Vec<_> = [1, 3, 5].map(|stream| wire.request(stream, "/r", true)).into();
    wire.send(">", &requests);
    wire.send("<", &[go_away(0x7fff_ffff, 0), go_away(3, 0)]);
    let response = wire.response(1, "200", true);
    wire.send("<", &[response, go_away(3, 11)]);
    wire.script.close();
    wire.check(
        "
        start @33 3
        start @51 3
        start @64 3
        GET /r 3..3 0 | Reset 4 reset 7
        GET /r 3..3 0 | 200 5..5 0 | Complete 5
        GET /r 3..3 0 | Reset 6 reset 11
        ",
    );
}

#[test]
fn connections_that_end_before_their_streams() {
    let mut wire = Wire::new();
    let requests: Vec<_> = [1, 3, 5].map(|stream| wire.request(stream, "/r", true)).into();
    wire.send(">", &requests);
    let response = wire.response(3, "200", false);
    wire.send("<", &[response, data(3, false, 8)]);
    // A DATA frame that was not sent whole.
    let response = wire.response(5, "200", false);
    wire.send("<", &[response, data(5, true, 8)[..11].to_vec()]);
    let cut = "
        start @33 3
        start @51 3
        start @64 3
        GET /r 3..3 0 | NoResponse 6
        GET /r 3..3 0 | 200 4..4 8 | CutResponse 4
        GET /r 3..3 0 | 200 5..5 2 | CutResponse 5
        ";
    let incomplete = "
        start @33 3
        start @51 3
        start @64 3
        GET /r 3..3 0 | Incomplete 5
        GET /r 3..3 0 | 200 4..4 ? | Incomplete 4
        GET /r 3..3 0 | 200 5..5 ? | Incomplete 5
        ";
    // The tape ends.
    wire.check(incomplete);
    wire.script.close();
    wire.check(cut);
}

#[test]
fn a_client_that_stops_sending_still_gets_its_responses() {
    let mut wire = Wire::new();
    let request = wire.request(1, "/r", true);
    wire.send(">", &[request]);
    wire.script.line("eof >");
    let response = wire.response(1, "200", true);
    wire.send("<", &[response]);
    wire.check(
        "
        start @33 3
        GET /r 3..3 0 | 200 5..5 0 | Complete 5
        ",
    );
}

#[test]
fn a_request_that_crosses_a_go_away_is_refused() {
    let mut wire = Wire::new();
    let one = wire.request(1, "/1", true);
    wire.send(">", &[one]);
    wire.send("<", &[go_away(1, 0)]);
    let three = wire.request(3, "/3", true);
    wire.send(">", &[three]);
    let response = wire.response(1, "200", true);
    wire.send("<", &[response]);
    wire.script.close();
    wire.check(
        "
        start @33 3
        start @51 5
        GET /1 3..3 0 | 200 6..6 0 | Complete 6
        GET /3 5..5 0 | Reset 7 reset 7
        ",
    );
}
