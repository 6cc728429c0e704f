//! What happens to exchanges whose bytes are missing, late, doubled or not captured.

use super::script::{Script, check, check_with, run};
use crate::exchange::What;
use crate::limits::Limits;

/// Once a response has begun whose end is not known, its server may work for a request that could not be read.
#[test]
fn a_request_is_alone_until_others_may_be_hidden_behind_it() {
    let crowded = |text: &str| {
        let found = run(&Script::parse(text).events, &Limits::default());
        found.iter().filter(|found| matches!(found.what, What::NotAlone)).map(|found| found.pos).collect::<Vec<_>>()
    };
    let not_answered = r"
        > GET /1 HTTP/1.1\r\nHost: a\r\nCookie: {100}";
    assert_eq!(crowded(not_answered), [0; 0]);
    // Of the second request nothing tells that it is one: it may be the first one's body.
    let answered = format!("{not_answered}\n< HTTP/1.1 2\n> GET /2 HTTP/1.1\\r\\n\\r\\n");
    assert_eq!(crowded(&answered), [0]);
    // The first request is whole: whatever follows would be seen.
    let whole = r"
        > GET /1 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{100}";
    assert_eq!(crowded(whole), [0; 0]);
    // What stands behind a whole request is another one, though none of it can be read.
    let behind = r"
        > POST /1 HTTP/1.1\r\nContent-Length: 50\r\n\r\n{100}";
    assert_eq!(crowded(behind), [0]);
}

#[test]
fn early_duplicate_and_peeked_bytes() {
    check(
        r"
        peek > GET / HTTP/1.1\r\n\r\n
        > GET / HTTP/1.1\r\n
        > @24 X: y\r\n\r\n
        > @16 A: bcd\r\n
        > @0 GET / HTTP/1.1\r\n
        > @20 cd\r\nX: y
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 2
        ! duplicate_bytes
        ! duplicate_bytes
        GET / 2..3 0 | 200 7..7 0 | Complete 7
        ",
    );
    check_with(
        &Limits { reorder_pieces: 2, ..Limits::default() },
        r"
        > POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n
        > @42 3
        > @44 5
        > @46 7
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        ! reorder_overflow
        ! stream_gap
        ! stream_gap
        ! stream_gap
        POST / 1..4 10 | 200 5..5 0 | Incomplete 5
        ",
    );
}

#[test]
fn bytes_that_were_not_captured_change_no_exchange() {
    // In bodies of known length.
    check(
        r"
        > POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n01{998}
        < HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{400}
        < {600}HTTP/1.1 100 C\r\n\r\n
        > GET /2 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        POST / 1..1 1000 | 200 2..3 1000 | Complete 3
        start @1041 4
        GET /2 4..4 0 | 200 5..5 0 | Complete 5
        ",
    );
    // In chunks, of known size and not.
    check(
        r"
        > GET /1 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\nab{252}cd\r\n0\r\n\r\n
        > GET /2 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\nab{1000}cd\r\n0\r\n\r\n
        > GET /3 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\nab{1000}
        < {1000}cd
        > GET /4 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\nab{1000}
        < 0\r\nTrailer: 1\r\n\r\n
        > GET /5 HTTP/1.1\r\n\r\n
        < HTTP/1.1 204 OK\r\n\r\n
        ",
        "
        start @0 1
        GET /1 1..1 0 | 200 2..2 256 | Complete 2
        start @19 3
        GET /2 3..3 0 | 200 4..4 ? | Complete 4
        start @38 5
        start @57 8
        GET /3 5..5 0 | 200 6..7 ? | Complete 7
        GET /4 8..8 0 | 200 9..10 ? | Complete 10
        start @76 11
        GET /5 11..11 0 | 204 12..12 0 | Complete 12
        ",
    );
}

#[test]
fn what_was_not_captured_ends_when_the_other_side_goes_on() {
    // In requests: complete when the response begins.
    check(
        r"
        > POST /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{1000}
        > GET /phantom HTTP/1.1\r\n\r\n{10}
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        > GET /2 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        POST /1 1..2 ? | 200 3..3 0 | Complete 3
        start @1086 4
        GET /2 4..4 0 | 200 5..5 0 | Complete 5
        ",
    );
    // In heads. Behind the part of the first request's that was captured there may be another request, so the first
    // response may end anywhere.
    check(
        r"
        > GET /1 HTTP/1.1\r\nHost: a\r\nCookie: {10000}
        < HTTP/1.1 200 OK\r\nSet-Cookie: {10000}
        < body
        > GET /2 HTTP/1.1\r\nCookie: {10000}
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        close
        ",
        "
        start @0 1
        start @10034 4
        GET /1 1..1 ? | 200 2..3 ? | Incomplete 3 truncated
        GET /2 4..4 ? | 200 5..5 0 | Complete 5 truncated
        ",
    );
}

#[test]
fn lost_requests_take_only_themselves_along() {
    // The middle of a body of known length.
    check(
        r"
        > POST /1 HTTP/1.1\r\nContent-Length: 10\r\n\r\n
        gap > 5
        > 56789
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        > GET /2 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        ! stream_gap
        POST /1 1..3 10 | 200 4..4 0 | Incomplete 4
        start @50 5
        GET /2 5..5 0 | 200 6..6 0 | Complete 6
        ",
    );
    // A whole request.
    check(
        r"
        > GET /1 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        gap > 18
        < HTTP/1.1 404 OK\r\nContent-Length: 0\r\n\r\n
        > GET /3 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        GET /1 1..1 0 | 200 2..2 0 | Complete 2
        ! response_without_request
        ! stream_gap
        start @37 5
        GET /3 5..5 0 | 200 6..6 0 | Complete 6
        ",
    );
    // A head, with a body that looks like a request.
    check(
        r"
        > GET /1 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        gap > 40
        > GET /phantom HTTP/1.1\r\n\r\n
        < HTTP/1.1 404 OK\r\nContent-Length: 0\r\n\r\n
        > GET /3 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        GET /1 1..1 0 | 200 2..2 0 | Complete 2
        ! stream_gap
        ! response_without_request
        start @84 6
        GET /3 6..6 0 | 200 7..7 0 | Complete 7
        ",
    );
}

#[test]
fn lost_requests_and_responses() {
    // A request and its response.
    check(
        r"
        > GET /1 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        gap > 40
        gap < 40
        > GET /3 HTTP/1.1\r\n\r\n
        tick 60
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        GET /1 1..1 0 | 200 2..2 0 | Complete 2
        ! stream_gap
        ! stream_gap
        start @59 5
        GET /3 5..5 0 | 200 67..67 0 | Complete 67
        ",
    );
    // The tail of a body of unknown length.
    check(
        r"
        > POST /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n
        gap > 5
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        > GET /2 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        > GET /3 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        POST /1 1..1 ? | 200 3..3 0 | Complete 3
        ! stream_gap
        start @63 4
        GET /2 4..4 0 | 200 5..5 0 | Complete 5
        start @82 6
        GET /3 6..6 0 | 200 7..7 0 | Complete 7
        ",
    );
}

#[test]
fn lost_responses_take_only_their_exchange_along() {
    // A whole response.
    check(
        r"
        > GET /1 HTTP/1.1\r\n\r\n
        gap < 40
        > GET /2 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        > GET /3 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        start @19 3
        ! stream_gap
        GET /1 1..1 0 | Incomplete 3
        GET /2 3..3 0 | 200 4..4 0 | Complete 4
        start @38 5
        GET /3 5..5 0 | 200 6..6 0 | Complete 6
        ",
    );
    // Its head.
    check(
        r"
        > GET /1 HTTP/1.1\r\n\r\n
        gap < 40
        < HTTP/1.1 500 phantom\r\nContent-Length: 0\r\n\r\n
        > GET /2 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        ! stream_gap
        start @19 4
        GET /1 1..1 0 | Incomplete 4
        GET /2 4..4 0 | 200 5..5 0 | Complete 5
        ",
    );
    // The tail of its body, of known length and not.
    check(
        r"
        > GET /1 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n
        gap < 10
        > GET /2 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello
        gap < 10
        > GET /3 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        start @19 4
        ! stream_gap
        GET /1 1..1 0 | 200 2..2 10 | Incomplete 2
        start @38 7
        ! stream_gap
        GET /2 4..4 0 | 200 5..5 ? | Incomplete 5
        GET /3 7..7 0 | 200 8..8 0 | Complete 8
        ",
    );
}

#[test]
fn pipelined_responses_behind_a_hole_are_not_paired_by_guess() {
    // The head is cut, so where the response ends is not known; the fourth request comes before the second response.
    check(
        r"
        > GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HT
        < HTTP/1.1 201 A\r\nContent-{40}
        > TP/1.1\r\n\r\nGET /4 HTTP/1.1\r\n\r\n
        < HTTP/1.1 202 B\r\nContent-Length: 0\r\n\r\n
        < HTTP/1.1 203 C\r\nContent-Length: 0\r\n\r\n
        < HTTP/1.1 204 D\r\n\r\n
        ",
        "
        start @0 1
        start @19 1
        start @38 1
        start @57 3
        GET /1 1..1 0 | 201 2..2 ? | Incomplete 2 truncated
        GET /2 1..1 0 | Incomplete 3
        GET /3 1..3 0 | Incomplete 3
        GET /4 3..3 0 | Incomplete 6
        ",
    );
    // The end of a chunked body may be the end of the second response.
    check(
        r"
        > GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\n
        < HTTP/1.1 201 A\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe{100}x\r\n0\r\n\r\n
        < HTTP/1.1 203 C\r\nContent-Length: 0\r\n\r\n
        > GET /4 HTTP/1.1\r\n\r\n
        < HTTP/1.1 204 D\r\n\r\n
        ",
        "
        start @0 1
        start @19 1
        start @38 1
        GET /1 1..1 0 | 201 2..2 ? | Incomplete 2
        GET /2 1..1 0 | Incomplete 2
        GET /3 1..1 0 | Incomplete 2
        start @57 4
        GET /4 4..4 0 | Incomplete 5
        ",
    );
}

#[test]
fn responses_behind_a_hole_are_paired_where_nothing_is_in_doubt() {
    // Lengths tell what is missing.
    check(
        r"
        > GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n
        < HTTP/1.1 201 A\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n{100}\r\n0\r\n\r\n
        > GET /3 HTTP/1.1\r\n\r\n
        < HTTP/1.1 202 B\r\nContent-Length: 100\r\n\r\n{100}HTTP/1.1 203 C\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        start @19 1
        GET /1 1..1 0 | 201 2..2 100 | Complete 2
        start @38 3
        GET /2 1..1 0 | 202 4..4 100 | Complete 4
        GET /3 3..3 0 | 203 4..4 0 | Complete 4
        ",
    );
    // One after the other, each request tells that the response before is over.
    check(
        r"
        > GET /1 HTTP/1.1\r\n\r\n
        < HTTP/1.1 201 A\r\nContent-{40}
        > GET /2 HTTP/1.1\r\n\r\n
        < HTTP/1.1 202 B\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        start @19 3
        GET /1 1..1 0 | 201 2..2 ? | Complete 2 truncated
        GET /2 3..3 0 | 202 4..4 0 | Complete 4
        ",
    );
}

#[test]
fn lost_responses_of_which_little_is_known() {
    // Of pipelined requests, nobody knows which lost its response, and whether the other one is still to come.
    check(
        r"
        > GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n
        gap < 40
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        > GET /3 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        start @19 1
        ! stream_gap
        start @38 4
        GET /1 1..1 0 | Incomplete 4
        GET /2 1..1 0 | Incomplete 4
        GET /3 4..4 0 | Incomplete 5
        ",
    );
    // Records that may be missing at the end.
    check(
        r"
        > GET /1 HTTP/1.1\r\n\r\n
        loss
        close
        ",
        "
        start @0 1
        GET /1 1..1 0 | Incomplete 3
        ",
    );
    check(
        r"
        loss
        > GET /1 HTTP/1.1\r\n\r\n
        close
        ",
        "
        start @0 2
        GET /1 2..2 0 | NoResponse 3
        ",
    );
}

#[test]
fn connections_older_than_the_recording_are_joined_at_a_boundary() {
    // Between two requests.
    check(
        r"
        server attached
        > GET /1 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        GET /1 1..1 0 | 200 2..2 0 | Complete 2
        ",
    );
    // In a response.
    check(
        r"
        server attached
        < rest of a body
        < HTTP/1.1 and more of it
        > GET /1 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 3
        GET /1 3..3 0 | 200 4..4 0 | Complete 4
        ",
    );
    // In a request's body, and in a response to a request from before.
    check(
        r"
        unknown attached
        > rest of a body
        < HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello
        > GET /1 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        ! response_without_request
        start @14 3
        GET /1 3..3 0 | 200 4..4 0 | Complete 4
        ",
    );
    // Something else.
    check(
        r"
        server attached
        > \x17\x03\x03\x00\x20
        < abc
        ",
        "! tls",
    );
    check(
        r"
        server attached
        > abc
        < abc
        > abc
        < abc
        > abc
        < abc
        ",
        "! not_http",
    );
}
