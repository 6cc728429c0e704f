//! Every form of message, read from whole streams.

use super::script::{Script, check, check_with, run};
use crate::exchange::{Version, What};
use crate::limits::Limits;

#[test]
fn bodies_end_where_rfc_9112_section_6_3_says() {
    // HEAD, 204 and 304 have no body, whatever their fields say.
    check(
        r"
        > HEAD / HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n
        > GET /1 HTTP/1.1\r\n\r\n
        < HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n
        > GET /2 HTTP/1.1\r\n\r\n
        < HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n
        > GET /3 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        HEAD / 1..1 0 | 200 2..2 0 | Complete 2
        start @19 3
        GET /1 3..3 0 | 204 4..4 0 | Complete 4
        start @38 5
        GET /2 5..5 0 | 304 6..6 0 | Complete 6
        start @57 7
        GET /3 7..7 0 | 200 8..8 0 | Complete 8
        ",
    );
    // Until the connection closes.
    check(
        r"
        client
        > GET / HTTP/1.0\r\n\r\n
        < HTTP/1.1 200 OK\r\n\r\nab
        < cd
        eof <
        close
        ",
        "
        start @0 1
        GET / 1..1 0 | 200 2..3 4 | Complete 3
        ",
    );
    check(
        r"
        > GET / HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabcd
        eof <
        close
        ",
        "
        start @0 1
        GET / 1..1 0 | 200 2..2 4 | Complete 2
        ",
    );
    // Chunks, extensions, trailers; other codings before chunked.
    check(
        r"
        > PUT / HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n
        > 3;a=b\r\nabc\r\n
        > 0\r\nDigest: x\r\n\r\n
        < HTTP/1.1 200 OK\r\ntransfer-encoding:chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n
        ",
        "
        start @0 1
        PUT / 1..3 3 | 200 4..4 10 | Complete 4
        ",
    );
    // The same length twice is one length.
    check(
        r"
        > PUT / HTTP/1.1\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nab
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        PUT / 1..1 2 | 200 2..2 0 | Complete 2
        ",
    );
}

#[test]
fn interim_responses_are_skipped() {
    check(
        r"
        > POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n
        < HTTP/1.1 100 Continue\r\n\r\n
        > body
        < HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok
        ",
        "
        start @0 1
        POST / 1..3 4 | 200 4..4 2 | Complete 4
        ",
    );
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    check(
        r"
        > GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HT
        > TP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\n
        < 2HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        start @19 1
        start @38 1
        GET /1 1..1 0 | 200 3..3 1 | Complete 3
        GET /2 1..1 0 | 404 3..4 1 | Complete 4
        GET /3 1..2 0 | 500 4..4 0 | Complete 4
        ",
    );
    check_with(
        &Limits { pipelined_requests: 2, ..Limits::default() },
        r"
        > GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        < HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n
        < HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n
        > GET /4 HTTP/1.1\r\n\r\n
        ",
        "
        start @0 1
        start @19 1
        ! pipeline_overflow
        GET /1 1..1 0 | 200 2..2 0 | Complete 2
        GET /2 1..1 0 | 201 3..3 0 | Complete 3
        ",
    );
}

#[test]
fn upgrades_and_tunnels_end_http() {
    check(
        r"
        > GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n
        < HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello
        > GET /phantom HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\n\r\n
        ",
        "
        start @0 1
        GET /chat 1..1 0 | 101 2..2 0 | Complete 2
        ",
    );
    check(
        r"
        > CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n
        < HTTP/1.1 200 Connection established\r\n\r\n
        > GET /phantom HTTP/1.1\r\n\r\n
        close
        ",
        "
        start @0 1
        CONNECT example.com:443 1..1 0 | 200 2..2 0 | Complete 2
        ",
    );
    // A refused one goes on.
    check(
        r"
        > CONNECT example.com:443 HTTP/1.1\r\n\r\n
        < HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno
        > GET http://example.com/ HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        > OPTIONS * HTTP/1.1\r\n\r\n
        ",
        "
        start @0 1
        CONNECT example.com:443 1..1 0 | 407 2..2 2 | Complete 2
        start @36 3
        GET http://example.com/ 3..3 0 | 200 4..4 0 | Complete 4
        start @72 5
        OPTIONS * 5..5 0 | Incomplete 5
        ",
    );
}

#[test]
fn heads_are_read_leniently_where_it_is_safe() {
    check(
        r"
        > \r\n\r\nGET /1 HTTP/1.1\nHost: a\n\n
        < HTTP/1.1 200\nContent-Length:3 \n\nabc
        > GET /2?q=a b HTTP/1.1\r\nUser-Agent: x\r\n folded\r\nContent-Length:\t1\r\n\r\nx
        < HTTP/1.1 299 Whatever \xff\r\ncontent-LENGTH: 0\r\n\r\n
        ",
        "
        start @4 1
        GET /1 1..1 0 | 200 2..2 3 | Complete 2
        start @29 3
        GET /2?q=a b 3..3 1 | 299 4..4 0 | Complete 4
        ",
    );
}

#[test]
fn smuggling_shapes_are_not_followed() {
    for (fields, kind) in [
        (r"Content-Length: 5\r\nTransfer-Encoding: chunked", "ambiguous_length"),
        (r"Content-Length: 5\r\nContent-Length: 6", "ambiguous_length"),
        (r"Content-Length: 5, 6", "ambiguous_length"),
        (r"Content-Length: +5", "ambiguous_length"),
        (r"Content-Length: 0x5", "ambiguous_length"),
        (r"Content-Length:", "ambiguous_length"),
        (r"Content-Length: 99999999999999999999", "ambiguous_length"),
        (r"Transfer-Encoding: xchunked", "ambiguous_length"),
        (r"Transfer-Encoding: chunked, identity", "ambiguous_length"),
        (r"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "ambiguous_length"),
        (r"Transfer-Encoding: chun\x00ked", "ambiguous_length"),
        (r"Transfer-Encoding:\x0bchunked", "ambiguous_length"),
        (r"Transfer-Encoding:\r\n chunked", "ambiguous_length"),
        (r"Content-Length : 5", "malformed_head"),
        (r"Content-Length\x00: 5", "malformed_head"),
        (r" Content-Length: 5", "malformed_head"),
        (r"no colon", "malformed_head"),
        (r"X: a\rContent-Length: 5", "malformed_head"),
    ] {
        let script = format!(
            r"
            > GET /ok HTTP/1.1\r\n\r\n
            < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
            > POST / HTTP/1.1\r\n{fields}\r\n\r\n
            > GET /phantom HTTP/1.1\r\n\r\n
            < HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n
            close
            "
        );
        check(&script, &format!("start @0 1\nGET /ok 1..1 0 | 200 2..2 0 | Complete 2\n! {kind}"));
    }
}

#[test]
fn ambiguity_takes_along_what_cannot_be_told_apart() {
    // HTTP/1.0 does not know chunks.
    check(
        r"
        > POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n
        ",
        "! ambiguous_length",
    );
    // An ambiguous response takes along what waits.
    check(
        r"
        > GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n
        > GET /3 HTTP/1.1\r\n\r\n
        ",
        "
        start @0 1
        start @19 1
        GET /1 1..1 0 | 200 2..2 ? | Incomplete 2
        GET /2 1..1 0 | Incomplete 2
        ! ambiguous_length
        ",
    );
    // Requests before the broken one still get their responses.
    check(
        r"
        > GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\nnonsense\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        < HTTP/1.1 400 Bad\r\n\r\n
        ",
        "
        start @0 1
        ! malformed_head
        GET /1 1..1 0 | 200 2..2 0 | Complete 2
        ",
    );
    check(
        r"
        > POST /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n
        < HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n
        > GET /phantom HTTP/1.1\r\n\r\n
        ",
        "
        start @0 1
        ! malformed_chunk
        POST /1 1..1 ? | 400 2..2 0 | Incomplete 2
        ",
    );
}

#[test]
fn heads_have_limits() {
    check_with(
        &Limits { head_bytes: 64, ..Limits::default() },
        r"
        > GET /long HTTP/1.1\r\nCookie: 0123456789012345678901234567
        > 8901234567890123456789\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        > GET /next HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        ! head_too_long
        GET /long 1..2 ? | 200 3..3 0 | Complete 3 truncated
        start @82 4
        GET /next 4..4 0 | 200 5..5 0 | Complete 5
        ",
    );
    check_with(
        &Limits { head_lines: 2, ..Limits::default() },
        r"
        > GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n
        < HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n
        ",
        "
        start @0 1
        ! head_too_long
        GET / 1..1 0 | 200 2..2 ? | Incomplete 2 truncated
        ",
    );
}

#[test]
fn early_and_missing_responses() {
    // Before the request is complete; its body goes on and is no message.
    check(
        r"
        > POST / HTTP/1.1\r\nContent-Length: 31\r\n\r\n0123456789
        < HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n
        > GET /phantom HTTP/1.1
        > GET /next HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        POST / 1..1 31 | 413 2..2 0 | Complete 2
        start @70 4
        GET /next 4..4 0 | 200 5..5 0 | Complete 5
        ",
    );
    check(
        r"
        > GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123
        close
        ",
        "
        start @0 1
        start @19 1
        GET /1 1..1 0 | 200 2..2 4 | CutResponse 2
        GET /2 1..1 0 | NoResponse 3
        ",
    );
    check(
        r"
        client
        > GET / HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\n\r\nabc
        reset
        close
        ",
        "
        start @0 1
        GET / 1..1 0 | 200 2..2 3 | CutResponse 2
        ",
    );
    check(
        r"
        > GET / HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel
        close
        ",
        "
        start @0 1
        GET / 1..1 0 | 200 2..2 3 | CutResponse 2
        ",
    );
    check(
        r"
        > GET / HTTP/1.1\r\nHost
        close
        ",
        "",
    );
}

#[test]
fn ends_without_a_response() {
    // The tape ends.
    check(
        r"
        > GET / HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123
        ",
        "
        start @0 1
        GET / 1..1 0 | 200 2..2 10 | Incomplete 2
        ",
    );
    // A half-closed connection still gets its response.
    check(
        r"
        > GET / HTTP/1.1\r\n\r\n
        eof >
        < HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok
        close
        ",
        "
        start @0 1
        GET / 1..1 0 | 200 3..3 2 | Complete 3
        ",
    );
    // A server that times out an idle connection.
    check(
        r"
        > GET / HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok
        < HTTP/1.1 408 Request Timeout\r\nContent-Length: 2\r\n\r\nno
        close
        ",
        "
        start @0 1
        GET / 1..1 0 | 200 2..2 2 | Complete 2
        ! response_without_request
        ",
    );
}

#[test]
fn other_protocols_are_counted_once() {
    for first in [
        r"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        r"*1\r\n$4\r\nPING\r\n",
        r"EHLO there\r\n",
        r"GET /0.9\r\n",
        r"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    ] {
        check(&format!("> {first}\n< whatever\n> GET / HTTP/1.1\\r\\n\\r\\n\nclose"), "! not_http");
    }
    // What they carry is none of this connection's business.
    check("> \\x16\\x03\\x01\\x02\\x00\\x01\\x00\n< whatever\nclose", "! tls");
    check("< SSH-2.0-OpenSSH_9.6\\r\\n\n> SSH-2.0-x\\r\\n", "! not_http");
    check(
        r"
        > P
        > R
        > I * HTTP/2.0\r\n\r\nSM\r\r
        ",
        "! not_http",
    );
    check(
        r"
        > P
        > OST / HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        POST / 1..2 0 | 200 3..3 0 | Complete 3
        ",
    );
}

#[test]
fn the_side_is_told_by_accept_connect_and_content() {
    check(
        r"
        unknown
        < GET / HTTP/1.1\r\n\r\n
        > HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        GET / 1..1 0 | 200 2..2 0 | Complete 2
        ",
    );
    check(
        r"
        unknown
        connect
        > HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "! response_without_request",
    );
    // Requests that a server sends are none that we know.
    check(
        r"
        server
        < GET / HTTP/1.1\r\n\r\n
        ",
        "! not_http",
    );
}

#[test]
fn arrivals_give_requests_their_time() {
    check(
        r"
        arrive 18
        arrive 30
        accept
        > GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/
        arrive 8
        > 1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        arrive 100
        > GET /3 HTTP/1.1\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 4
        start @19 4
        GET /1 4..4 0 | 200 7..7 0 | Complete 7 arrived 1
        GET /2 4..6 0 | 200 8..8 0 | Complete 8 arrived 2
        start @38 10
        GET /3 10..10 0 | 200 11..11 0 | Complete 11 arrived 5
        ",
    );
    check_with(
        &Limits { arrivals: 2, ..Limits::default() },
        r"
        arrive 10
        arrive 18
        arrive 36
        arrive 54
        > GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\n
        ",
        "
        ! arrival_overflow
        ! arrival_overflow
        start @0 5
        start @19 5
        start @38 5
        GET /1 5..5 0 | Incomplete 5 arrived 1
        GET /2 5..5 0 | Incomplete 5
        GET /3 5..5 0 | Incomplete 5
        ",
    );
}

#[test]
fn a_request_head_keeps_what_telemetry_needs() {
    let script = Script::parse(
        r"
        > GET /\xff HTTP/1.0\r\nhOsT:  a:80 \r\nHost: b\r\nUser-Agent: curl/8\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n
        ",
    );
    let found = run(&script.events, &Limits::default());
    let head = found.iter().find_map(|finding| match &finding.what {
        What::Ended(exchange) => Some(&exchange.request.head),
        _ => None,
    });
    let head = head.unwrap();
    assert_eq!((head.method(), head.target(), head.version), ("GET", "/\u{fffd}", Version::Http10));
    assert_eq!((head.host(), head.user_agent()), (Some("a:80"), Some("curl/8")));
    assert_eq!(head.context.unwrap().parent_id.to_string(), "b7ad6b7169203331");
}
