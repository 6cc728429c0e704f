//! `slice`, `merge`, `filter` and `events` over the binary: every flag of each, on recorded tapes, and what they say of what is
//! wrong.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use redtape_tests::{Finished, Process, binary, spans};
use serde_json::Value;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures");

/// A folder with `h2c.tape`, `demo.tape`, and the beginning of the first as `cut.tape`.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::copy(format!("{FIXTURES}/protocols/h2c.tape"), at("h2c.tape")).unwrap();
    fs::copy(format!("{FIXTURES}/greetings-demo/greetings.tape"), at("demo.tape")).unwrap();
    let whole = fs::read(at("h2c.tape")).unwrap();
    fs::write(at("cut.tape"), &whole[..3000]).unwrap();
    folder
}

/// Runs `redtape` with arguments, between which are vertical bars.
fn run(folder: &TempDir, arguments: &str) -> Finished {
    let mut command = Command::new(binary("redtape").unwrap());
    command.args(arguments.split('|')).current_dir(folder.path()).env_remove("BEYLA_CONFIG_PATH");
    Process::run(&mut command, LIMIT).unwrap()
}

fn told(folder: &TempDir, arguments: &str) -> Finished {
    let finished = run(folder, arguments);
    assert_eq!(finished.status.code(), Some(0), "{arguments}: {}", finished.stderr);
    finished
}

/// The events of a tape in `folder`, as JSON.
fn events(folder: &TempDir, arguments: &str) -> Vec<Value> {
    let out = told(folder, &format!("events|--json|{arguments}")).stdout;
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The values of a key.
fn all<'a>(events: &'a [Value], key: &str) -> BTreeSet<&'a str> {
    events.iter().filter_map(|event| event[key].as_str()).collect()
}

/// Spans of requests, without their phases.
fn requests_of(spans: &[redtape_tests::Span]) -> impl Iterator<Item = &redtape_tests::Span> {
    spans.iter().filter(|span| span.kind != "internal")
}

#[test]
fn slices_have_what_was_asked_for() {
    let folder = folder();
    let slice = |arguments: &str| told(&folder, &format!("slice|-o|part.tape|--force|{arguments}")).stderr;
    let part = folder.path().join("part.tape");

    // Some time: what a recorder finds at its start stands before it.
    slice("h2c.tape|--from|+100ms|--to|+120ms");
    let by_offset = events(&folder, "part.tape|--filter|kind == data");
    slice("h2c.tape|--from|2026-11-22T18:58:59.253677714Z|--to|2026-11-22T18:58:59.273677714Z");
    let by_clock = events(&folder, "part.tape|--filter|kind == data");
    let whole = events(&folder, "h2c.tape|--from|+100ms|--to|+120ms|--filter|kind == data");
    assert!(!whole.is_empty() && by_offset.len() == whole.len() && by_clock.len() == whole.len());
    assert_eq!(all(&by_offset, "source"), all(&whole, "source"));

    // Connections, by either name.
    let said = slice("h2c.tape|--conn|c6aea52d9");
    assert!(said.starts_with("part.tape: 85 events of 1 connection"), "{said}");
    assert_eq!(all(&events(&folder, "part.tape"), "conn"), BTreeSet::from(["c6aea52d9"]));
    slice("h2c.tape|--conn|c6aea52d9|--conn|c0376e9b4|-q");
    let requests = spans(&part, &[]).unwrap().into_iter().filter(|span| span.kind != "internal");
    assert_eq!(requests.count(), 80);

    // A service, a trace, the first requests.
    slice("demo.tape|--service|year");
    let services: BTreeSet<_> = spans(&part, &[]).unwrap().into_iter().map(|span| span.service).collect();
    assert_eq!(services, BTreeSet::from(["year".to_owned()]));
    let whole = spans(&folder.path().join("demo.tape"), &[]).unwrap();
    let trace = whole.iter().find(|span| span.service == "year").unwrap().trace_id.clone();
    slice(&format!("demo.tape|--trace|{trace}"));
    let count = |of: &[redtape_tests::Span]| of.iter().filter(|span| span.trace_id == trace).count();
    assert_eq!(count(&spans(&part, &[]).unwrap()), count(&whole));
    for requests in [3, 100] {
        let said = slice(&format!("demo.tape|--first-requests|{requests}"));
        assert!(said.contains(&format!(", with {requests} requests")), "{said}");
        let mut first: Vec<_> = requests_of(&whole).map(|span| (&span.start_time_unix_nano, &span.span_id)).collect();
        first.sort();
        let kept = spans(&part, &[]).unwrap();
        assert!(kept.iter().all(|span| !span.incomplete), "none is cut");
        let kept: BTreeSet<_> = requests_of(&kept).map(|span| &span.span_id).collect();
        assert_eq!(kept, first.into_iter().take(requests).map(|(_, id)| id).collect(), "no other is begun");
    }

    // Nothing: it is said what there is.
    let said = slice("h2c.tape|--from|+1h");
    assert!(
        said.contains("warning: part.tape: nothing on the tape is in that time; the tape goes from 2026-"),
        "{said}"
    );
    let said = slice("h2c.tape|--to|2020-01-01T00:00:00Z");
    assert!(
        said.contains("warning: part.tape: nothing on the tape is in that time; the tape goes from 2026-"),
        "{said}"
    );
    let said = slice("demo.tape|--first-requests|1|--from|+10s");
    assert!(said.contains("warning: part.tape: of what is chosen, nothing is in that time; "), "{said}");

    // A configuration names services otherwise.
    fs::write(folder.path().join("named.yml"), "discovery:\n  services:\n    - {open_ports: 45683, name: shop}\n")
        .unwrap();
    slice("h2c.tape|--service|shop|--config|named.yml");
    assert_eq!(all(&events(&folder, "part.tape"), "conn").len(), 1);

    // Standard output, and a tape that is not whole.
    let mut command = Command::new(binary("redtape").unwrap());
    command.args(["slice", "h2c.tape", "--to", "+120ms", "-o", "-", "--quiet"]).current_dir(folder.path());
    let piped = command.stdin(Stdio::null()).output().unwrap();
    assert!(piped.status.success() && piped.stdout.starts_with(b"\x89TAP") && piped.stderr.is_empty());
    let said = slice("cut.tape|--to|+1s");
    assert!(said.contains("warning: cut.tape: truncated: the end is missing"), "{said}");
}

/// How many connections were open at the beginning of a slice, how many of these are HTTP/2, and how many lack header tables.
#[test]
fn slices_say_what_they_cut() {
    let folder = folder();
    let grpc = fs::read_to_string(format!("{FIXTURES}/scenarios/grpc.yaml")).unwrap();
    fs::write(folder.path().join("lossy.yaml"), format!("recorder: {{loss: 20}}\n{grpc}")).unwrap();
    let cut = |scenario: &str| {
        told(&folder, &format!("synth|{scenario}|-o|whole.tape|--force"));
        let said = told(&folder, "slice|whole.tape|--from|+50ms|-o|part.tape|--force").stderr;
        let before = events(&folder, "whole.tape|--to|+50ms");
        let closed: Vec<Value> = before.iter().filter(|event| event["kind"] == "close").cloned().collect();
        let (_, said) = said.trim_end().split_once("; ").unwrap();
        (all(&before, "conn").difference(&all(&closed, "conn")).count(), said.to_owned())
    };
    let (open, said) = cut("greetings");
    assert!(open > 10 && said == format!("{open} connections from before"), "{said}");
    let numbers = |scenario: &str| {
        let (open, said) = cut(scenario);
        let said = said.strip_prefix(&format!("{open} connections from before, ")).unwrap();
        let (http2, said) = said.split_once(" in HTTP/2 (").unwrap();
        let lacking =
            said.strip_suffix(" without all of their header tables: some later fields are not known)").unwrap();
        [open, http2.parse().unwrap(), lacking.parse().unwrap()]
    };
    let [open, http2, lacking] = numbers("grpc");
    assert!(0 < http2 && http2 < open && lacking < 4, "{open} {http2} {lacking}");
    // Whose header blocks were lost, of those nobody knows what they have put into the tables.
    let [lossy_open, lossy_http2, more] = numbers("lossy.yaml");
    assert!(lossy_open == open && lossy_http2 == http2 && lacking < more && more <= http2, "{more} of {lossy_http2}");
    // Nothing is cut where the tape begins, nor where all is over.
    for from in ["+0s", "+1h"] {
        let said = told(&folder, &format!("slice|h2c.tape|--from|{from}|-o|part.tape|--force")).stderr;
        assert!(!said.contains("from before"), "{said}");
    }
}

#[test]
fn filters_keep_what_an_expression_holds_of() {
    let folder = folder();
    let said = told(&folder, "filter|kind == data and direction == out and not tls|h2c.tape|-o|sent.tape").stderr;
    assert!(said.starts_with("sent.tape: ") && said.ends_with(" of 160\n"), "{said}");
    let sent = events(&folder, "sent.tape|--filter|kind == data");
    assert_eq!(all(&sent, "direction"), BTreeSet::from(["out"]));
    assert_eq!(sent.len(), events(&folder, "h2c.tape|--filter|kind == data and direction == out").len());
    let said = told(&folder, "filter|port == 1|h2c.tape|-o|sent.tape|--force").stderr;
    assert!(said.contains("warning: there is no event of which `port == 1` holds"), "{said}");
    told(&folder, "filter|port == 1|h2c.tape|-o|sent.tape|--force|--quiet");
    assert_eq!(events(&folder, "sent.tape|--filter|kind in (data, accept, connect, arrival)").len(), 0);
}

#[test]
fn merges_have_all_events_once() {
    let folder = folder();
    let merge = |arguments: &str| told(&folder, &format!("merge|-o|both.tape|--force|{arguments}")).stderr;
    let both = folder.path().join("both.tape");
    let of = |name: &str| spans(&folder.path().join(name), &[]).unwrap().len();
    let said = merge("h2c.tape|demo.tape");
    assert!(said.ends_with("both.tape: 7846 events of 2 tapes\n"), "{said}");
    assert_eq!(of("both.tape"), of("h2c.tape") + of("demo.tape"));
    let hours = |tape: &Path| redtape_tests::info(tape).unwrap().duration_ns / 1_000_000_000;
    let by_clock = hours(&both);
    merge("h2c.tape|demo.tape|--align|start|-q");
    assert!(hours(&both) < by_clock && of("both.tape") == of("h2c.tape") + of("demo.tape"));
    let said = merge("h2c.tape|h2c.tape");
    assert!(said.contains("warning: h2c.tape: left out, as it is the same tape as h2c.tape"), "{said}");
    assert_eq!(of("both.tape"), of("h2c.tape"));
}

#[test]
fn events_are_shown_as_asked_for() {
    let folder = folder();
    let conn = "--conn|c6aea52d9|--filter|kind == data and direction == out|--from|+100ms|--to|+109ms";
    let text = told(&folder, &format!("events|h2c.tape|{conn}")).stdout;
    let lines: Vec<_> = text.lines().collect();
    let first = "     0.108627980 0#6 > writev c6aea52d9 p62630516 tid=19693 took=25.9us nonblocking turn=1 pos=0 len=121 [0+121]";
    assert_eq!((lines.len(), lines[0]), (2, first));
    let payload = told(&folder, &format!("events|h2c.tape|{conn}|--payload")).stdout;
    assert!(payload.starts_with(first) && payload.contains(r#" "PRI * HTTP/2.0\r\n\r\nSM"#), "{payload}");
    let hex = told(&folder, &format!("events|h2c.tape|{conn}|--hex")).stdout;
    assert!(
        hex.contains("    00000000  50 52 49 20 2a 20 48 54  54 50 2f 32 2e 30 0d 0a  |PRI * HTTP/2.0..|\n"),
        "{hex}"
    );
    // The second call goes on where the first one ended.
    assert!(hex.contains("    00000079  00 00 00 04 01"), "{hex}");
    let [first, _] = &events(&folder, &format!("h2c.tape|{conn}|--payload"))[..] else { panic!("two events") };
    for (key, value) in
        [("kind", "data"), ("source", "writev"), ("direction", "out"), ("comm", "node"), ("role", "client")]
    {
        assert_eq!(first[key], value);
    }
    assert_eq!((first["len"].as_u64(), first["time_ns"].as_u64()), (Some(121), Some(108_627_980)));
    assert!(first["captured"][0]["base64"].as_str().unwrap().starts_with("UFJJICogSFRUUC8yLjA"));
    let cut = told(&folder, "events|cut.tape");
    assert!(cut.stderr.contains("warning: cut.tape: truncated") && !cut.stdout.is_empty(), "{}", cut.stderr);
}

#[test]
fn what_is_wrong_is_told() {
    let folder = folder();
    let mut piped = Command::new(binary("redtape").unwrap());
    piped.args(["slice", "-", "-o", "new.tape", "--conn", "c6aea52d9"]).current_dir(folder.path());
    let piped = Process::run(&mut piped, LIMIT).unwrap().expect_code(2).unwrap();
    assert!(piped.stderr.contains("standard input cannot be read twice"), "{}", piped.stderr);
    for (arguments, code, message) in [
        ("slice|h2c.tape", 2, "--from <TIME>|--to <TIME>|--conn <CONN>"),
        ("slice|h2c.tape|--from|+2s|--to|+1s", 2, "--from is after --to"),
        ("slice|h2c.tape|--from|noon", 2, "`noon` is neither a moment such as 2026-05-04T12:00:00Z nor an offset"),
        ("slice|h2c.tape|--conn|zz", 2, "a connection is written as `redtape events` shows it, as in `c1a2b3c4d`"),
        ("slice|h2c.tape|--conn|c00000000", 2, "nothing on the tape is connection c00000000"),
        ("slice|h2c.tape|--service|nope", 2, "nothing on the tape is of service nope; there are: node"),
        ("slice|h2c.tape|--trace|12", 2, "--trace 12: a trace id has 32 hexadecimal digits"),
        ("slice|h2c.tape|--trace|12345678901234567890123456789012", 2, "nothing on the tape is of trace 1234"),
        ("slice|h2c.tape|--first-requests|0", 2, "invalid value '0' for '--first-requests <N>'"),
        ("slice|h2c.tape|--service|node|--config|nope.yml", 2, "nope.yml"),
        ("slice|nope.tape|--to|+1s", 3, "nope.tape: cannot be read: No such file"),
        ("slice|cut.tape|--to|+1s|--strict", 3, "cut.tape: truncated: the end is missing"),
        ("filter|knd == data|h2c.tape", 2, "column 1: `knd` is no field; did you mean `kind`?"),
        ("filter|kind == dta|h2c.tape", 2, "column 9: `dta` is no kind; did you mean `data`?"),
        ("filter|len > many|h2c.tape", 2, "column 7: `many` is no number"),
        ("filter|(port == 80|h2c.tape", 2, "column 12: `)` is expected here"),
        ("filter|payload ~ \"(\"|h2c.tape", 2, "column 11: `(` is no regular expression"),
        ("filter||h2c.tape", 2, "column 1: a field is expected here"),
        ("filter|tls|cut.tape|--strict", 3, "cut.tape: truncated: the end is missing"),
        ("merge", 2, "<TAPE>..."),
        ("merge|h2c.tape|demo.tape|--align|end", 2, "[possible values: clock, start]"),
        ("merge|h2c.tape|nope.tape", 3, "nope.tape: cannot be read: No such file"),
        ("merge|cut.tape|demo.tape|--strict", 3, "cut.tape: truncated: the end is missing"),
    ] {
        let refused = run(&folder, &format!("{arguments}|-o|new.tape"));
        assert_eq!(refused.status.code(), Some(code), "{arguments}: {}", refused.stderr);
        assert!(refused.stderr.contains(message), "{arguments}: {}", refused.stderr);
        assert!(!folder.path().join("new.tape").exists(), "{arguments}: something is written");
    }
    for (arguments, code, message) in [
        ("events|h2c.tape|--conn|zz", 2, "a connection is written as `redtape events` shows it"),
        ("events|h2c.tape|--filter|kind ==", 2, "column 8: a value is expected here"),
        ("events|h2c.tape|--to|3", 2, "`3` is neither a moment"),
        ("events|h2c.tape|--hex|--json", 2, "cannot be used with"),
        ("events|h2c.tape|nope.tape", 3, "nope.tape: cannot be read: No such file"),
        ("events|cut.tape|--strict", 3, "cut.tape: truncated: the end is missing"),
        ("events", 2, "<TAPE>..."),
    ] {
        let refused = run(&folder, arguments);
        assert_eq!(refused.status.code(), Some(code), "{arguments}: {}", refused.stderr);
        assert!(refused.stderr.contains(message), "{arguments}: {}", refused.stderr);
    }
}
