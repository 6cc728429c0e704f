//! Conversations through a shard.

mod bounds;
mod holes;
mod http2;
mod messages;
mod properties;
mod script;
mod tls;

use script::{Script, check, render, run};

use crate::facts::Role;
use crate::limits::Limits;

#[test]
fn a_request_and_its_response() {
    check(
        r"
        accept
        > GET /greeting HTTP/1.1\r\nHost: a\r\n\r\n
        < HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello
        close
        ",
        "
        start @0 2
        GET /greeting 2..2 0 | 200 3..3 5 | Complete 3
        ",
    );
    check(
        r"
        client
        > POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n
        > body
        < HTTP/1.1 201 Created\r\n
        < Content-Length: 5\r\n\r\nhe
        < llo
        > GET /b HTTP/1.1\r\n\r\n
        < HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n
        ",
        "
        start @0 1
        POST /a 1..2 4 | 201 3..5 5 | Complete 5
        start @52 6
        GET /b 6..6 0 | 404 7..7 0 | Complete 7
        ",
    );
}

/// A conversation: whose turn, and the bytes.
const CONVERSATION: &[(&str, &[u8])] = &[
    (">", b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("<", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    (">", b"\r\nPOST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: 1\r\n\r\nHEAD /c HTTP/1.1\n\n"),
    ("<", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\n"),
    (">", b"GET /d HTTP/1.0\r\n\r\n"),
    ("<", b"HTTP/1.0 200 OK\r\nX: a\r\n  folded\r\n\r\nuntil close"),
];

fn conversation(cut: impl Fn(usize, &[u8]) -> Vec<usize>) -> String {
    let mut script = Script::new(Role::Server, false, 1);
    for (turn, (way, bytes)) in CONVERSATION.iter().enumerate() {
        let mut rest = *bytes;
        for at in cut(turn, bytes) {
            let (piece, after) = rest.split_at(at);
            script.bytes(way, piece);
            rest = after;
        }
        script.bytes(way, rest);
    }
    script.close();
    let found = run(&script.events, &Limits::default());
    // Times differ with the chunking, the rest must not.
    let without_times = |line: &str| line.split(' ').filter(|word| !word.contains("..")).collect::<Vec<_>>().join(" ");
    render(&found)
        .lines()
        .filter(|line| !line.starts_with("start"))
        .map(|line| without_times(line.rsplit_once(' ').unwrap().0) + "\n")
        .collect()
}

#[test]
fn every_chunking_gives_the_same_exchanges() {
    let expected = "GET /a 0 | 200 5 | Complete\nPOST /b 3 | 200 5 | Complete\nHEAD /c 0 | 404 0 | Complete\nGET /d 0 | 200 11 | Complete\n";
    assert_eq!(conversation(|_, _| vec![]), expected);
    assert_eq!(conversation(|_, bytes| vec![1; bytes.len() - 1]), expected);
    for (turn, (_, bytes)) in CONVERSATION.iter().enumerate() {
        for split in 1..bytes.len() {
            assert_eq!(conversation(|at, _| if at == turn { vec![split] } else { vec![] }), expected, "{turn} {split}");
        }
    }
}
