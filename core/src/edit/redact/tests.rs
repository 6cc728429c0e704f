//! What becomes of single messages, byte by byte.

use super::*;
use crate::event::{Body, BodyBuf, Data, Direction, EventBuf, Source, Stamp};
use crate::facts::{ConnInfo, ProcessInfo, Role};
use crate::http2::hpack::{Decoder, Name, Sink, huffman_encode};
use crate::ids::{ConnKey, Origin, ProcKey};
use crate::ranges::{Ranges, RangesBuf};
use crate::synth::frames::{END_HEADERS, HEADERS, HeaderEncoder, PREFACE, SETTINGS, Style, frame};
use crate::tape::Meta;
use crate::time::MonoNanos;

const ORIGIN: Origin = Origin([7; 16]);

/// Calls that each move all that they capture, of one connection that a server accepted.
pub(super) fn calls(calls: &[(Direction, &[u8])]) -> Vec<EventBuf> {
    let info = ConnInfo { role: Role::Server, ..ConnInfo::unknown(ORIGIN, 1) };
    let (mut received, mut sent, mut time) = (0, 0, MonoNanos::new(1_000));
    let mut events = vec![EventBuf::new(time, BodyBuf::Connection(Box::new(info)))];
    for (direction, bytes) in calls {
        let pos = if *direction == Direction::In { &mut received } else { &mut sent };
        time = time.plus(1_000);
        let data = Data {
            conn: ConnKey::new(ORIGIN, 1),
            process: ProcKey::default(),
            stamp: Stamp::default(),
            direction: *direction,
            source: Source::Read,
            pos: *pos,
            len: bytes.len() as u64,
            arrived: None,
            ranges: Ranges::EMPTY,
        };
        *pos += bytes.len() as u64;
        events.push(EventBuf::new(time, BodyBuf::Data(data, RangesBuf::prefix(*bytes))));
    }
    events
}

fn run(mut redactor: Redactor, events: &[EventBuf]) -> Vec<Redacted> {
    let mut out = Vec::new();
    for event in events {
        redactor.push(&event.as_event());
        out.extend(std::iter::from_fn(|| redactor.poll()));
    }
    redactor.finish();
    out.extend(std::iter::from_fn(|| redactor.poll()));
    out
}

/// The captured bytes of all calls, redacted.
pub(super) fn redacted(policy: &RedactPolicy, key: Option<Key>, events: &[EventBuf]) -> Vec<Vec<u8>> {
    let out = run(Redactor::new(policy, key).unwrap(), events);
    let bytes = |redacted: &Redacted| match redacted.event.as_event().body {
        Body::Data(data) => Some(data.ranges.iter().flat_map(|(_, bytes)| bytes.to_vec()).collect()),
        _ => None,
    };
    out.iter().filter_map(bytes).collect()
}

fn check(policy: &str, request: &str, expected: &str) {
    let policy = RedactPolicy::from_yaml(policy, "policy.yml").unwrap();
    let events = calls(&[(Direction::In, request.as_bytes())]);
    let [out] = &redacted(&policy, None, &events)[..] else { panic!("one call") };
    assert_eq!(String::from_utf8_lossy(out), expected);
}

#[test]
fn heads_by_the_default_policy() {
    check(
        "",
        "GET /a?q=red+shoes&flag&page=2#top HTTP/1.1\r\nHost: shop\r\nAuthorization:  Bearer abc \r\nX-Trace: 1\r\n\r\n",
        "GET /a?q=*********&****&page=*#*** HTTP/1.1\r\nHost: shop\r\nAuthorization:  ********** \r\nX-Trace: 1\r\n\r\n",
    );
    check(
        "",
        "GET /u/bob@example.com/x;jsessionid=1A2B HTTP/1.1\r\nCookie: sid=abc; theme=\"dark\"; lone\r\nX-My-Token: t\r\n\r\n",
        "GET /u/xxx@xxxxxxx.xxx/x;jsessionid=**** HTTP/1.1\r\nCookie: sid=***; theme=******; ****\r\nX-My-Token: *\r\n\r\n",
    );
    check(
        "",
        "GET http://me:pw@shop/a HTTP/1.1\nReferer: https://x/y?z=1\nFolded: a\n b\n\n",
        "GET http://*****@shop/a HTTP/1.1\nReferer: https://x/y?z=*\nFolded: a\n *\n\n",
    );
}

#[test]
fn known_credentials_go_by_default() {
    for name in [
        "Sec-WebSocket-Protocol",
        "X-Auth-Key",
        "X-Auth",
        "Auth-Key",
        "Ocp-Apim-Subscription-Key",
        "X-Functions-Key",
        "X-Amzn-Oidc-Data",
        "Baggage",
        "DPoP",
        "Proxy-Authorization",
        "Authentication-Info",
    ] {
        check(
            "",
            &format!("GET / HTTP/1.1\r\n{name}: SECRET\r\n\r\n"),
            &format!("GET / HTTP/1.1\r\n{name}: ******\r\n\r\n"),
        );
    }
    check(
        "",
        "GET / HTTP/1.1\r\nDestination: http://u:p@x/?t=S\r\nLink: </a?t=S>; rel=next\r\nRefresh: 1; url=/?t=S\r\n\r\n",
        "GET / HTTP/1.1\r\nDestination: http://***@x/?t=*\r\nLink: </a?t=**; rel=****\r\nRefresh: 1; ****/?t=*\r\n\r\n",
    );
    let rules = rules::Rules::new(&RedactPolicy::default(), None).unwrap();
    assert_eq!(rules.field(b":authority"), rules::Field::Authority);
}

#[test]
fn policies_say_what_is_kept() {
    check(
        "query: {keep: [page]}\nheaders: {keep: [authorization], others: mask}\ncookies: {keep: ['th*']}\n",
        "GET /a?q=red&page=2 HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer abc\r\nX-Trace: 1\r\nCookie: a=1; theme=b\r\n\r\n",
        "GET /a?q=***&page=2 HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer abc\r\nX-Trace: *\r\nCookie: a=*; theme=b\r\n\r\n",
    );
    check(
        "defaults: false\npaths: {patterns: ['/users/{name}/files']}\nbodies: keep\n",
        "POST /users/Bob1/files HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /users/x HTTP/1.1\r\n\r\n",
        "POST /users/Xxx0/files HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /users/x HTTP/1.1\r\n\r\n",
    );
}

/// What a policy masks, it masks beside the default; only `keep` and `defaults: false` make it less.
#[test]
fn policies_add_to_what_is_masked() {
    for (policy, target, fields, masked, fields_masked) in [
        ("headers: {mask: ['*foo*']}", "/", "X-Foo: a\r\nX-Token: b", "/", "X-Foo: *\r\nX-Token: *"),
        ("headers: {keep: [x-token]}", "/", "X-Token: b\r\nX-Key: b", "/", "X-Token: b\r\nX-Key: *"),
        (
            "defaults: false\nheaders: {mask: ['*foo*']}",
            "/a@b.cc",
            "X-Foo: a\r\nX-Token: b",
            "/a@b.cc",
            "X-Foo: *\r\nX-Token: b",
        ),
        ("paths: {classes: {mask: [number]}}", "/12/z@z.zz", "A: b", "/00/x@x.xx", "A: b"),
        ("paths: {classes: {keep: [email]}}", "/12/z@z.zz", "A: b", "/12/z@z.zz", "A: b"),
        ("paths: {behind: {mask: ['door*']}}", "/doors/open/keys/open", "A: b", "/doors/xxxx/keys/xxxx", "A: b"),
        ("paths: {behind: {keep: [keys]}}", "/key/open/keys/open", "A: b", "/key/xxxx/keys/open", "A: b"),
    ] {
        let request = |target, fields| format!("GET {target} HTTP/1.1\r\n{fields}\r\n\r\n");
        check(&format!("{policy}\n"), &request(target, fields), &request(masked, fields_masked));
    }
}

/// Whatever a segment looks like behind one of these names, it goes; elsewhere it stays.
#[test]
fn segments_behind_names_of_secrets_are_masked() {
    for (target, expected) in [
        ("/sessions/9a8795de1a1c27487478a7703ba7aaa5", "/sessions/0a0000aa0a0a00000000a0000aa0aaa0"),
        ("/items/9a8795de1a1c27487478a7703ba7aaa5", "/items/9a8795de1a1c27487478a7703ba7aaa5"),
        ("/v1/Session/12/items/12", "/v1/Session/00/items/12"),
        ("/token//word/more", "/token//xxxx/more"),
        ("/auth/token/word/more", "/auth/token/xxxx/more"),
        ("/ke%79s;a=b/word;c=d", "/ke%79s;a=*/xxxx;c=*"),
        ("/password/x/reset-password/word?a=b", "/password/x/reset-password/xxxx?a=*"),
        ("/api_key/word/api-keys/word/apikey/word", "/api_key/xxxx/api-keys/xxxx/apikey/xxxx"),
        ("/invite/word/invitations/word/secret", "/invite/xxxx/invitations/xxxx/secret"),
        ("/verify/word/confirm/word/monkey/word", "/verify/xxxx/confirm/xxxx/monkey/word"),
        ("https://host/reset/word", "https://host/reset/xxxx"),
    ] {
        let request = |target| format!("GET {target} HTTP/1.1\r\nReferer: {target}\r\n\r\n");
        check("", &request(target), &request(expected));
        // Twice is once.
        check("", &request(expected), &request(expected));
    }
}

#[test]
fn bodies_and_what_is_no_message() {
    check(
        "",
        "PUT /a HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcdGET ",
        "PUT /a HTTP/1.1\r\nContent-Length: 4\r\n\r\n****????",
    );
    check(
        "",
        "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: s\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
        "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;***\r\n***\r\n0\r\n*:**\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
    );
    check("", "SELECT secret FROM users", "????????????????????????");
    check("", "\x16\x03\x01\x02\x00secret", "\x16\x03\x01\x02\x00??????");
}

#[test]
fn tokens_are_equal_where_values_are() {
    let policy = RedactPolicy::from_yaml("values: hash\n", "p").unwrap();
    let key = || Some(Key::new(b"0123456789abcdef").unwrap());
    let head = b"GET /?a=secret1 HTTP/1.1\r\nX-Token: secret1\r\nY-Token: secret2\r\n\r\n";
    let out = redacted(&policy, key(), &calls(&[(Direction::In, head)]));
    let text = String::from_utf8(out[0].clone()).unwrap();
    let values: Vec<_> = text.split(['=', ' ', '\r']).filter(|word| word.starts_with('~')).collect();
    assert!(values.len() == 3 && values[0] == values[1] && values[0] != values[2], "{text}");
    // A second time they stay, as META tells of them.
    let mut redactor = Redactor::new(&policy, key()).unwrap();
    let meta = redactor.meta(&Meta::default());
    let mut again = Redactor::new(&policy, key()).unwrap();
    assert_eq!(again.meta(&meta), meta);
    let twice = run(again, &calls(&[(Direction::In, &out[0])]));
    assert!(twice.iter().all(|redacted| redacted.changes.is_empty()));
    assert!(Redactor::new(&policy, None).is_err());
    assert!(Redactor::new(&RedactPolicy::default(), key()).is_err());
}

/// Collects the fields of a block with their sizes.
#[derive(Default)]
struct Fields(Vec<(Name, usize, Option<Vec<u8>>)>);

impl Sink for Fields {
    fn field(&mut self, name: Name, size: usize, value: Option<&[u8]>) {
        self.0.push((name, size, value.map(<[u8]>::to_vec)));
    }
}

fn decoded(blocks: &[&[u8]]) -> Vec<(Name, usize, Option<Vec<u8>>)> {
    let (mut decoder, mut fields) = (Decoder::new(1 << 16, true), Fields::default());
    for block in blocks {
        decoder.decode(block, true, &mut fields).unwrap();
    }
    fields.0
}

#[test]
fn hpack_keeps_sizes_and_tables() {
    for huffman in [false, true] {
        let (mut encoder, mut first, mut second) = (HeaderEncoder::default(), Vec::new(), Vec::new());
        let style = Style { indexed: true, huffman };
        for (block, path, secret) in [(&mut first, "/a?q=S3cret!", "S3cret?Value"), (&mut second, "/b", "S3cret;other")]
        {
            encoder.field(":method", "GET", style, block);
            encoder.field(":path", path, style, block);
            encoder.field("authorization", secret, style, block);
            encoder.field("x-api-key", secret, style, block);
            encoder.field("user-agent", "synth", style, block);
        }
        let mut stream = PREFACE.to_vec();
        frame(SETTINGS, 0, 0, &[], &mut stream);
        let mut at = Vec::new();
        for (stream_id, block) in [(1, &first), (3, &second)] {
            at.push(stream.len() + 9..stream.len() + 9 + block.len());
            frame(HEADERS, END_HEADERS | 1, stream_id, block, &mut stream);
        }
        // In pieces of seven bytes, too.
        let pieces: Vec<_> = stream.chunks(7).map(|piece| (Direction::In, piece)).collect();
        for events in [calls(&[(Direction::In, &stream)]), calls(&pieces)] {
            let out = redacted(&RedactPolicy::default(), None, &events).concat();
            assert_eq!(out.len(), stream.len());
            let mut coded = Vec::new();
            huffman_encode(b"S3cret", &mut coded);
            for secret in [&b"S3cret"[..], &coded[..4]] {
                assert!(!out.windows(secret.len()).any(|window| window == secret), "{}", out.escape_ascii());
            }
            let before = decoded(&[&first, &second]);
            let after = decoded(&[&out[at[0].clone()], &out[at[1].clone()]]);
            assert_eq!(before.len(), after.len());
            for (before, after) in before.iter().zip(&after) {
                assert_eq!((before.0, before.1), (after.0, after.1));
                assert_eq!(before.2 == after.2, before.0 != Name::Path || before.2.as_deref() == Some(b"/b"));
            }
        }
    }
}

#[test]
fn facts_of_processes_and_of_the_tape() {
    let env = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let info = ProcessInfo {
        cmdline: vec!["server".into(), "--password=x".into()],
        env: vec![
            env("OTEL_SERVICE_NAME", "shop"),
            env("OTEL_RESOURCE_ATTRIBUTES", "service.version=1,owner=bob"),
            env("OTHER", "secret"),
        ],
        ..ProcessInfo::default()
    };
    let facts = vec![env("k8s.pod.annotation.a", "secret"), env("k8s.pod.label.app", "shop")];
    let config = "otel_traces_export: {endpoint: 'http://u:s3cret@x'} # s3cret\n";
    let events = [
        EventBuf::new(MonoNanos::ZERO, BodyBuf::Process(Box::new(info))),
        EventBuf::new(MonoNanos::ZERO, BodyBuf::Enrich(facts)),
    ];
    let mut redactor = Redactor::new(&RedactPolicy::default(), None).unwrap();
    let mut command: Vec<String> = vec!["redtape-capture".into(), "--pid=7".into()];
    let command = [vec!["redtape-capture --key x".to_owned()], command.split_off(1)].concat();
    let meta = Meta { config: config.into(), command, host: "h".into(), ..Meta::default() };
    let clean = redactor.meta(&meta);
    assert!(!clean.config.contains("s3cret") && clean.command == ["redtape-capture", "*******"] && clean.host == "h");
    assert_eq!(clean.redaction, "default");
    let out = run(redactor, &events);
    let BodyBuf::Process(info) = &out[0].event.body else { panic!() };
    assert_eq!(info.cmdline, ["server", "************"]);
    assert_eq!(info.env[0].1, "shop");
    assert_eq!(info.env[1].1, "service.version=1,owner=***");
    assert_eq!(info.env[2].1, "******");
    let BodyBuf::Enrich(facts) = &out[1].event.body else { panic!() };
    assert_eq!((facts[0].1.as_str(), facts[1].1.as_str()), ("******", "shop"));
    assert_eq!(out[0].changes, [Change { rule: Rule::Process, spot: Spot::Fact("the arguments".into()) }]);
    assert_eq!(out[1].changes, [Change { rule: Rule::Fact, spot: Spot::Fact("`k8s.pod.annotation.a`".into()) }]);
}

/// What came before the response that turns the stream into another protocol is masked, complete or not.
#[test]
fn early_bytes_of_another_protocol_are_masked() {
    use Direction::{In, Out};
    let upgraded = |head: &str, early: &[u8], response: &str| {
        let events = calls(&[(In, head.as_bytes()), (In, early), (Out, response.as_bytes()), (In, b"LATER-SECRET")]);
        let out = redacted(&RedactPolicy::default(), None, &events);
        assert_eq!(out.len(), 4, "{head}: every call comes out");
        assert_eq!(out[2], response.as_bytes());
        for masked in [&out[1], &out[3]] {
            assert!(masked.iter().all(|byte| *byte == b'?'), "{head}: {}", masked.escape_ascii());
        }
    };
    upgraded("CONNECT db:5432 HTTP/1.1\r\nHost: db\r\n\r\n", b"password=EARLY", "HTTP/1.1 200 OK\r\n\r\n");
    let websocket = "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ";
    upgraded(websocket, b"\x81\x05EARLY", &format!("{switched}websocket\r\n\r\n"));
    let h2c = "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    upgraded(h2c, b"GET /EARLY", &format!("{switched}h2c\r\n\r\n"));
}

proptest::proptest! {
    /// However the early bytes of a tunnel are cut: none is left, and each call comes out.
    #[test]
    fn early_bytes_of_tunnels_are_masked(early in "[A-Za-z0-9 :/=]{1,200}", size in 1_usize..40, websocket: bool) {
        use Direction::{In, Out};
        let (request, response): (&[u8], &[u8]) = if websocket {
            (b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
        } else {
            (b"CONNECT db:5432 HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n")
        };
        let pieces = early.as_bytes().chunks(size).map(|piece| (In, piece));
        let all: Vec<_> = [(In, request)].into_iter().chain(pieces).chain([(Out, response)]).collect();
        let out = redacted(&RedactPolicy::default(), None, &calls(&all));
        proptest::prop_assert_eq!(out.len(), all.len());
        let early = &out[1..out.len() - 1];
        proptest::prop_assert!(early.concat().iter().all(|byte| *byte == b'?'), "{}", early.concat().escape_ascii());
    }
}

#[test]
fn values_are_not_taken_for_names() {
    for (request, expected) in [
        ("GET /cb?TEVBSy1CQVNFNjQ=&a=b&c= HTTP/1.1", "GET /cb?****************&a=*&** HTTP/1.1"),
        (
            "GET /?{\"pw\":\"x=y\"}&tok%3DSECRET=1&a%5B0%5D=1 HTTP/1.1",
            "GET /?************&**************&a%5B0%5D=* HTTP/1.1",
        ),
        ("GET //me:pw@shop/a//b HTTP/1.1", "GET //*****@shop/a//b HTTP/1.1"),
        ("GET /fetch/https://me:pw@shop/a HTTP/1.1", "GET /fetch/https://xx:xx@xxxx/a HTTP/1.1"),
        ("GET HTTP://me:pw@shop?a=b HTTP/1.1", "GET HTTP://*****@shop?a=* HTTP/1.1"),
        ("CONNECT /x?token=SECRET HTTP/1.1", "CONNECT *************** HTTP/1.1"),
        ("CONNECT me:pw@shop:443 HTTP/1.1", "CONNECT ************** HTTP/1.1"),
        ("CONNECT [::1]:443 HTTP/1.1", "CONNECT [::1]:443 HTTP/1.1"),
    ] {
        check("", &format!("{request}\r\n\r\n"), &format!("{expected}\r\n\r\n"));
    }
    for (field, expected) in [
        ("Cookie: TEVBSy1DT09LSUU==; sid=MTIz=", "Cookie: *****************; sid=*****"),
        ("host: me:pw@shop:80", "host: *****@shop:80"),
        ("Cookie: a=b\r\n\tc=SECRET", "Cookie: a=*\r\n\t********"),
        ("Authorization:\r\n Bearer SECRET", "Authorization:\r\n *************"),
        ("X-Note: a\r\n SECRET", "X-Note: a\r\n ******"),
        ("Authorization : SECRET", "**********************"),
        ("AUTHORIZATION:SECRET", "AUTHORIZATION:******"),
    ] {
        let request = |field| format!("GET / HTTP/1.1\r\n{field}\r\n\r\n");
        check("", &request(field), &request(expected));
    }
    // What is kept by name stays, without a value, too.
    check("query: {keep: [page]}\n", "GET /?page=&q= HTTP/1.1\r\n\r\n", "GET /?page=&** HTTP/1.1\r\n\r\n");
}

#[test]
fn responses_by_the_default_policy() {
    for (response, expected) in [
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK"),
        ("HTTP/1.1 404 not found", "HTTP/1.1 404 not found"),
        ("HTTP/1.1 403 bob may not", "HTTP/1.1 403 ***********"),
        ("HTTP/1.1 200 ", "HTTP/1.1 200 "),
        ("HTTP/1.1 200", "HTTP/1.1 200"),
        (
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/, sid=S3; Expires=Wed, 21 Oct 2015 07:28:00 GMT, b=S3; Secure, TEVB=",
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=*; Path=/, sid=**; Expires=Wed, 21 Oct 2015 07:28:00 GMT, b=**; Secure, *****",
        ),
        (
            "HTTP/1.1 200 OK\r\nSET-COOKIE: a=b; HttpOnly; c=SECRET",
            "HTTP/1.1 200 OK\r\nSET-COOKIE: a=*; HttpOnly; c=******",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: /in?code=SECRET#SECRET",
            "HTTP/1.1 302 Found\r\nLocation: /in?code=******#******",
        ),
    ] {
        let events = calls(&[
            (Direction::In, b"GET / HTTP/1.1\r\n\r\n"),
            (Direction::Out, format!("{response}\r\n\r\n").as_bytes()),
        ]);
        let out = redacted(&RedactPolicy::default(), None, &events);
        assert_eq!(String::from_utf8_lossy(&out[1]), format!("{expected}\r\n\r\n"));
    }
}

/// What a sender says must never be indexed is a secret (RFC 7541, section 7.1.3), whatever it is called.
#[test]
fn what_is_never_indexed_is_masked() {
    let block = [
        &b"\x82\x84\x86"[..],
        b"\x10\x06x-note\x03abc",
        // Names of the static table: `:authority`, `user-agent`, `content-type`.
        b"\x11\x04shop",
        b"\x1f\x2b\x04curl",
        b"\x1f\x10\x09text/html",
        // The same without that mark.
        b"\x00\x06x-note\x03abc",
    ]
    .concat();
    let mut stream = PREFACE.to_vec();
    frame(SETTINGS, 0, 0, &[], &mut stream);
    frame(HEADERS, END_HEADERS | 1, 1, &block, &mut stream);
    let out = |policy: &str| {
        let policy = RedactPolicy::from_yaml(policy, "p").unwrap();
        let out = redacted(&policy, None, &calls(&[(Direction::In, &stream)])).concat();
        out[out.len() - block.len()..].to_vec()
    };
    let masked = block.escape_ascii().to_string().replacen("abc", "***", 1).replace("curl", "****");
    assert_eq!(out("").escape_ascii().to_string(), masked);
    let kept = block.escape_ascii().to_string().replace("curl", "****");
    assert_eq!(out("headers: {keep: [x-note]}\n").escape_ascii().to_string(), kept);
}

/// Behind a part that was masked before, nothing is left because of it.
#[test]
fn all_of_a_call_that_begins_with_masks_is_masked() {
    let mut events = calls(&[(Direction::In, b"")]);
    let BodyBuf::Data(data, payload) = &mut events[1].body else { panic!() };
    let mut ranges = RangesBuf::default();
    ranges.push(0, b"\r\n??");
    ranges.push(10, b"SECRET");
    (data.len, *payload) = (20, ranges);
    assert_eq!(redacted(&RedactPolicy::default(), None, &events), [b"\r\n????????"]);
}

/// What is kept on the strength of other bytes is kept a second time, too: those bytes are not masked.
#[test]
fn twice_is_once_where_heads_are_cut() {
    use Direction::{In, Out};
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    let cut_preface = (In, &PREFACE[..22]);
    // A header block whose rest never comes: `:status 200`, and the beginning of a value.
    let cut_block = [&settings[..], b"\0\0\x08\x01\0\0\0\0\x01\x88\x0f\x1f\x20Bear"].concat();
    for events in [
        calls(&[cut_preface, (Out, &settings[..3])]),
        calls(&[(Out, settings), cut_preface]),
        calls(&[(In, PREFACE), (Out, &cut_block)]),
    ] {
        let redactor = || Redactor::new(&RedactPolicy::default(), None).unwrap();
        let once: Vec<_> = run(redactor(), &events).into_iter().map(|redacted| redacted.event).collect();
        let changes: Vec<_> = run(redactor(), &once).into_iter().flat_map(|redacted| redacted.changes).collect();
        assert_eq!(changes, [], "{once:?}");
    }
}

#[test]
fn wrong_policies_are_told() {
    let error = RedactPolicy::from_yaml("headers:\n  msk: [a]\n", "p.yml").unwrap_err().to_string();
    assert!(error.starts_with("p.yml:2:3: headers.msk: unknown key") && error.contains("mask"), "{error}");
    let error = RedactPolicy::from_yaml("bodies: maybe\n", "p.yml").unwrap_err().to_string();
    assert!(error.contains("`maybe` is not possible here"), "{error}");
    let policy = RedactPolicy::from_yaml("paths: {patterns: ['/a/{b']}\n", "p.yml").unwrap();
    assert!(Redactor::new(&policy, None).unwrap_err().to_string().contains("/a/{b"));
}

#[test]
fn a_head_that_never_ends_is_given_up() {
    let mut events = calls(&[(Direction::In, b"GET /secret HTTP/1.1\r\nA: ")]);
    events.push(EventBuf::new(MonoNanos::new(10_000_000_000), BodyBuf::Plain(Body::Tick)));
    let mut redactor = Redactor::new(&RedactPolicy::default(), None).unwrap();
    for event in &events[..2] {
        redactor.push(&event.as_event());
    }
    assert!(redactor.poll().is_some() && redactor.poll().is_none(), "the call waits for the end of the head");
    redactor.push(&events[2].as_event());
    let Some(Redacted { event, changes }) = redactor.poll() else { panic!("nothing waits for ever") };
    let Body::Data(data) = event.as_event().body else { panic!() };
    assert!(data.ranges.iter().all(|(_, bytes)| bytes.iter().all(|byte| *byte == b'?')));
    assert_eq!(changes, [Change { rule: Rule::Unparsed, spot: Spot::Byte(0) }]);
    assert!(redactor.poll().is_some());
}
