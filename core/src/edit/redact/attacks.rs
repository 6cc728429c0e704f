//! Secrets in odd places: none of them is left, by any policy that does not name it.

use super::tests::{calls, redacted};
use super::*;
use crate::event::{BodyBuf, Direction, EventBuf};
use crate::http2::hpack::huffman_encode;
use crate::ranges::RangesBuf;
use crate::synth::frames::{CONTINUATION, DATA, END_HEADERS, HEADERS, PADDED, PREFACE, SETTINGS, frame};
use Direction::{In, Out};

const SECRET: &str = "S3cr3tV4lue";
const PRIORITY: u8 = 32;
const PUSH_PROMISE: u8 = 5;

/// No four bytes in a row of the secret are left, nor those of its Huffman code, with bodies masked or kept.
fn check(what: &str, events: &[EventBuf]) {
    let mut coded = Vec::new();
    huffman_encode(SECRET.as_bytes(), &mut coded);
    for policy in ["", "bodies: keep\n"] {
        let policy = RedactPolicy::from_yaml(policy, "p").unwrap();
        for call in redacted(&policy, None, events) {
            let left = SECRET
                .as_bytes()
                .windows(4)
                .chain(coded.windows(4))
                .any(|part| memchr::memmem::find(&call, part).is_some());
            assert!(!left, "{what}, bodies {:?}: {}", policy.bodies, call.escape_ascii());
        }
    }
}

/// `text` with the secret where it has a `$`, as one call, in calls of every size, and with each part of it missing.
fn check_text(text: &str) {
    let bytes = text.replace('$', SECRET).into_bytes();
    check(text, &calls(&[(In, &bytes)]));
    for size in [1, 3, 7, 16] {
        let pieces: Vec<_> = bytes.chunks(size).map(|piece| (In, piece)).collect();
        check(text, &calls(&pieces));
    }
    for hole in (0..bytes.len()).step_by(5) {
        check(text, &calls(&[(In, &bytes)]).iter().map(|event| with_hole(event, hole, 4)).collect::<Vec<_>>());
    }
}

/// The same call, of which `len` bytes from `hole` on were not captured.
fn with_hole(event: &EventBuf, hole: usize, len: usize) -> EventBuf {
    let mut event = event.clone();
    if let BodyBuf::Data(_, payload) = &mut event.body {
        let bytes: Vec<u8> = payload.as_ranges().iter().flat_map(|(_, bytes)| bytes.to_vec()).collect();
        let (before, after) = (&bytes[..hole], bytes.get(hole + len..).unwrap_or_default());
        *payload = RangesBuf::default();
        payload.push(0, before);
        payload.push(u32::try_from(hole + len).unwrap(), after);
    }
    event
}

#[test]
fn secrets_of_requests() {
    for text in [
        "GET /?a=$ HTTP/1.1\r\n\r\n",
        "GET /?$ HTTP/1.1\r\n\r\n",
        "GET /?$== HTTP/1.1\r\n\r\n",
        "GET /?%61=$&b=;$;c=$ HTTP/1.1\r\n\r\n",
        "GET /?a%3D$=1 HTTP/1.1\r\n\r\n",
        "GET /a;b=$/c#$ HTTP/1.1\r\n\r\n",
        "GET /x/$ HTTP/1.1\r\n\r\n",
        "GET http://$:$@host/ HTTP/1.1\r\n\r\n",
        "GET HTTP://$@host?a=$ HTTP/1.1\r\n\r\n",
        "GET //$@host/ HTTP/1.1\r\n\r\n",
        "GET /p/https://u:$@host/ HTTP/1.1\r\n\r\n",
        "GET /?a=$\r\n\r\n",
        "GET / HTTP/1.1 $\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nAuthorization: $\r\n\r\n",
        "GET / HTTP/1.1\nAuthorization: $\n\n",
        "GET / HTTP/1.1\r\nAUTHORIZATION:$\r\n\r\n",
        "GET / HTTP/1.1\r\nAuthorization\t: $\r\n\r\n",
        "GET / HTTP/1.1\r\nAuthorization:\r\n  Bearer\r\n\t$\r\nA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nX-Note: a\r\n $\r\n\r\n",
        "GET / HTTP/1.1\r\n $\r\n\r\n",
        "GET / HTTP/1.1\r\nno field $\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\rAuthorization: $\r\n\r\n",
        "GET / HTTP/1.1\r\nCookie: a=b, c=$\r\nCookie: $\r\nCOOKIE: d=\"$\"; $==\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u:$@shop\r\nOrigin: http://u:$@x\r\nReferer: //$@x/?$\r\n\r\n",
        "GET / HTTP/1.1\r\nX-My-Api-Key: $\r\nX-Csrf: $\r\nX-Client-Cert: $\r\nPrivate-Token: $\r\nx-jwt-x: $\r\n\r\n",
        "CONNECT u:$@host:1 HTTP/1.1\r\n\r\n",
        "CONNECT host:1/$ HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\nGET /?a=$ HTTP/1.1\r\nCookie: $\r\n\r\nGET /?$ HTTP/1.1\r\n\r\n",
        "PUT / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n$",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n$",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;$=$;a=\"$\"\r\nx\r\n0;$\r\n$: $\r\nToken: $\r\n\r\n",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz$\r\n",
        "AUTH $\r\n",
        "*2\r\n$4\r\nAUTH\r\n$11\r\n$\r\n",
        "\x16\x03\x01\x00\x20$",
        "\x17\x03\x03\x00\x0b$\x17\x03\x03\x00\x0b$",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n$",
        "PRI * HTTP/2.0\r\n\r\nXX$",
    ] {
        check_text(text);
    }
}

#[test]
fn secrets_of_long_heads() {
    let many: String = (0..300).map(|number| format!("X-{number}: a\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "a".repeat(70_000));
    for filler in [many, long] {
        let text = format!("GET / HTTP/1.1\r\n{filler}Authorization: {SECRET}\r\nX-Note: {SECRET}\r\n\r\n");
        let pieces: Vec<_> = text.as_bytes().chunks(4000).map(|piece| (In, piece)).collect();
        check("a long head", &calls(&pieces));
        check("a long head", &calls(&[(In, text.as_bytes())]));
    }
}

#[test]
fn secrets_of_responses_and_behind_upgrades() {
    for (request, response) in [
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 $\r\n\r\n"),
        (
            "GET / HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/, c=$; Expires=Wed, 1 $, d=$\r\nSet-Cookie: $; Secure\r\n\r\n",
        ),
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: https://u:$@x/?code=$#$\r\n\r\n"),
        (
            "GET / HTTP/1.1\r\n\r\n",
            "HTTP/1.1 100 Continue\r\nX-Token: $\r\n\r\nHTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest nonce=$\r\n\r\n",
        ),
        (
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\u{1}$",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\u{1}\u{2}$",
        ),
        ("CONNECT h:1 HTTP/1.1\r\n\r\n$", "HTTP/1.1 200 OK\r\n\r\n$"),
        ("GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n$", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n$"),
        ("GET / HTTP/1.1\r\n\r\n", "$ HTTP/1.1 200 OK\r\n\r\n"),
    ] {
        let [request, response] = [request, response].map(|text| text.replace('$', SECRET).into_bytes());
        check("upgrades", &calls(&[(In, &request), (Out, &response)]));
        for size in [1, 3, 7] {
            let requests = request.chunks(size).map(|piece| (In, piece));
            check(
                "upgrades",
                &calls(&requests.chain(response.chunks(size).map(|piece| (Out, piece))).collect::<Vec<_>>()),
            );
        }
    }
}

/// A field whose name is new, not indexed, in plain text.
fn field(first: u8, name: &str, value: &[u8], huffman: bool) -> Vec<u8> {
    let mut coded = Vec::new();
    huffman_encode(value, &mut coded);
    let (flag, value) = if huffman { (0x80, &coded[..]) } else { (0, value) };
    let len = |len: usize| u8::try_from(len).unwrap();
    [&[first, len(name.len())], name.as_bytes(), &[flag | len(value.len())], value].concat()
}

/// A header block with the secret in many fields.
fn block(huffman: bool) -> Vec<u8> {
    let secret = SECRET.as_bytes();
    let text = |text: &str| text.replace('$', SECRET).into_bytes();
    [
        vec![0x82, 0x86],
        field(0, ":path", &text("/x/$?a=$#$"), huffman),
        field(0, ":authority", &text("u:$@x"), huffman),
        field(0x40, "authorization", secret, huffman),
        field(0x10, "x-anything", secret, huffman),
        field(0x40, "cookie", &text("a=$"), huffman),
        field(0, "grpc-message", secret, huffman),
        // By an index of the dynamic table, the newest of which is `cookie`; and by one that nobody has seen inserted.
        [&[0x7e, 11][..], secret].concat(),
        [&[0x7f, 40, 11][..], secret].concat(),
        // The table is made empty, so the same index is of a name that nobody knows.
        [&[0x20, 0x7e, 11][..], secret].concat(),
    ]
    .concat()
}

fn stream(frames: &[(u8, u8, Vec<u8>)]) -> Vec<u8> {
    let mut stream = PREFACE.to_vec();
    frame(SETTINGS, 0, 0, &[], &mut stream);
    for (kind, flags, payload) in frames {
        frame(*kind, *flags, u32::from(!matches!(kind, 4 | 6 | 7)), payload, &mut stream);
    }
    stream
}

#[test]
fn secrets_of_http2() {
    let secret = SECRET.as_bytes();
    for huffman in [false, true] {
        let block = block(huffman);
        let (one, two) = block.split_at(block.len() / 2);
        let padded = [&[11][..], &block, secret].concat();
        let both = [&[11, 0, 0, 0, 1, 0][..], &block, secret].concat();
        let promise = [&[0, 0, 0, 2][..], &block].concat();
        for frames in [
            vec![(HEADERS, END_HEADERS, block.clone())],
            vec![(HEADERS, 0, one.to_vec()), (CONTINUATION, END_HEADERS, two.to_vec())],
            vec![(HEADERS, END_HEADERS | PADDED, padded.clone())],
            vec![(HEADERS, END_HEADERS | PADDED | PRIORITY, both.clone())],
            vec![(PUSH_PROMISE, END_HEADERS, promise.clone())],
            // Not as it should be: what belongs to no block, and a block that is broken off.
            vec![(CONTINUATION, END_HEADERS, block.clone())],
            vec![(HEADERS, 0, one.to_vec()), (DATA, 1, b"x".to_vec()), (CONTINUATION, END_HEADERS, two.to_vec())],
            // GOAWAY, PING, an extension and frames of wrong lengths.
            vec![(7, 0, [&[0; 8][..], secret].concat()), (6, 0, secret[..8].to_vec()), (200, 0, secret.to_vec())],
            vec![(8, 0, secret.to_vec()), (3, 0, secret.to_vec()), (2, 0, secret.to_vec()), (4, 0, secret.to_vec())],
        ] {
            let stream = stream(&frames);
            check("HTTP/2", &calls(&[(In, &stream)]));
            for size in [1, 5, 16] {
                check("HTTP/2", &calls(&stream.chunks(size).map(|piece| (In, piece)).collect::<Vec<_>>()));
            }
            for hole in (0..stream.len()).step_by(5) {
                check(
                    "HTTP/2",
                    &calls(&[(In, &stream)]).iter().map(|event| with_hole(event, hole, 4)).collect::<Vec<_>>(),
                );
            }
        }
    }
}
