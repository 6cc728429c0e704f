//! tshark on synthetic traffic, exported as packets, counts what has happened: requests, and responses by status.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use redtape_tests::{Process, Requirement, Result, binary, trial};
use serde_json::Value;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);
/// Random scenarios, of seeds from 0 on.
const RANDOM: u64 = 24;

fn main() {
    libtest_mimic::run(&Arguments::from_args(), trials()).exit();
}

fn trials() -> Vec<Trial> {
    // In `grpc.yaml` a port speaks both protocols, which tshark cannot be told.
    let grpc = "synth grpc --print";
    let one_protocol = move |text: String| text.replace("protocols: {http1: 1, http2: 1}", "protocols: http2");
    let mut trials = vec![
        trial("greetings", &[Requirement::Program("tshark")], || {
            compare("synth greetings --print", |text| text, "http")
        }),
        trial("cardinality-bomb", &[Requirement::Program("tshark")], || {
            compare("synth cardinality-bomb --print", |text| text, "http")
        }),
        trial("grpc", &[Requirement::Program("tshark")], move || compare(grpc, one_protocol, "http2")),
    ];
    let random = |seed| {
        let (scenario, protocol) = random::scenario(seed);
        let name = format!("random scenario {seed} in {protocol}");
        trial(&name, &[Requirement::Program("tshark")], move || tell_apart(&scenario, 60, protocol))
    };
    trials.extend((0..RANDOM).map(random));
    trials
}

fn redtape(folder: &Path, arguments: &str) -> Result<String> {
    let mut command = Command::new(binary("redtape")?);
    command.args(arguments.split_whitespace()).current_dir(folder);
    Ok(Process::run(&mut command, LIMIT)?.expect_code(0)?.stdout)
}

/// The same of an included scenario.
fn compare(print: &str, edit: impl Fn(String) -> String, protocol: &str) -> Result<()> {
    let folder = TempDir::new()?;
    tell_apart(&edit(redtape(folder.path(), print)?), 200, protocol)
}

/// Holds what tshark counts against the truth, request by request and status by status.
fn tell_apart(scenario: &str, least: u64, protocol: &str) -> Result<()> {
    let folder = TempDir::new()?;
    fs::write(folder.path().join("s.yaml"), scenario)?;
    redtape(folder.path(), &format!("synth s.yaml --requests {least} -o s.tape --truth s.truth"))?;
    redtape(folder.path(), "export s.tape --pcapng s.pcapng")?;
    let (mut requests, mut responses) = (0, BTreeMap::new());
    for line in fs::read_to_string(folder.path().join("s.truth"))?.lines() {
        let truth: Value = serde_json::from_str(line)?;
        requests += 1;
        if let Some(status) = truth["attributes"]["http.response.status_code"].as_u64() {
            *responses.entry(status.to_string()).or_insert(0) += 1;
        }
    }
    let (method, status) = match protocol {
        "http" => ("http.request.method", "http.response.code"),
        _ => ("http2.headers.method", "http2.headers.status"),
    };
    let methods = dissect(folder.path(), protocol, method)?;
    assert_eq!(methods.values().sum::<u64>(), requests, "{methods:?}\n{scenario}");
    assert!(requests >= least);
    assert_eq!(dissect(folder.path(), protocol, status)?, responses, "{scenario}");
    Ok(())
}

/// How often tshark finds each value of a field. The ports are those of synthetic services.
fn dissect(folder: &Path, protocol: &str, field: &str) -> Result<BTreeMap<String, u64>> {
    let mut command = Command::new("tshark");
    command.args(["-r", "s.pcapng", "-T", "fields", "-e", field, "-Y", field]).current_dir(folder);
    for port in [80, 8000, 8001, 8002, 8003, 8004] {
        command.arg("-d").arg(format!("tcp.port=={port},{protocol}"));
    }
    let said = Process::run(&mut command, LIMIT)?.expect_code(0)?;
    let mut counts = BTreeMap::new();
    for value in said.stdout.lines().flat_map(|line| line.split(',')) {
        *counts.entry(value.to_owned()).or_insert(0) += 1;
    }
    Ok(counts)
}

/// Random scenarios, as far as tshark has a word for what happens in them: all of a port is of one protocol and in plaintext, and each request has
/// one response at most (tshark counts interim ones).
mod random {
    use std::fmt::Write as _;

    use redtape_core::synth::Rng;

    /// The scenario of a seed as YAML, and what tshark calls its protocol.
    pub(crate) fn scenario(seed: u64) -> (String, &'static str) {
        let mut rng = Rng::new(seed);
        let kind = ["http1", "http2", "grpc"][usize::try_from(seed % 3).unwrap_or(0)];
        let mut text = String::new();
        let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").unwrap_or_default();
        line(format_args!("seed: {seed}"));
        let (connections, keep_alive, streams) = (rng.between(1, 8), rng.between(1, 12), rng.between(1, 10));
        line(format_args!(
            "clients: {{connections: {connections}, keep_alive: {{uniform: [1, {keep_alive}]}}, streams: {{uniform: [1, {streams}]}}}}"
        ));
        let (writes, latency) = (rng.between(1, 5), rng.between(1, 100));
        line(format_args!("network: {{writes: {{uniform: [1, {writes}]}}, latency: {latency}us}}"));
        let mut some = |most| if rng.chance(500) { rng.below(most) } else { 0 };
        let (recorded, chunked, traceparent, pipelined) = (some(1001), some(1001), some(1001), some(500));
        let (closing, unanswered, cut) = (some(400), some(200), some(200));
        // tshark shows no HTTP/1 response of which the end never comes, and does not know which of several responses at once is to HEAD.
        let cut = if kind == "http1" { 0 } else { cut };
        let head = if pipelined > 0 { "GET: 4" } else { "GET: 3, HEAD: 1" };
        line(format_args!(
            "per_mille: {{recorded_clients: {recorded}, chunked: {chunked}, traceparent: {traceparent}, pipelined: {pipelined}, \
             closing: {closing}, unanswered: {unanswered}, cut: {cut}}}"
        ));
        line(format_args!("services:"));
        let count = rng.between(1, 5);
        for n in 0..count {
            let threads = rng.pick(&["blocking", "event_loop"]);
            let protocol = if kind == "http1" { "http1" } else { "http2" };
            line(format_args!("  s{n}:\n    threads: {threads}\n    protocols: {protocol}"));
            if rng.chance(200) {
                line(format_args!("    restart_every: {}ms", rng.between(2, 50)));
            }
            let behind: Vec<u64> = (n + 1..count).filter(|_| rng.chance(600)).collect();
            let call = |to: &u64| format!("{{to: s{to}}}");
            let calls = behind.iter().map(call).collect::<Vec<_>>().join(", ");
            match behind.len() {
                2.. if rng.chance(500) => line(format_args!("    calls: [{{parallel: [{calls}]}}]")),
                _ => line(format_args!("    calls: [{calls}]")),
            }
            line(format_args!("    routes:"));
            for route in 0..rng.between(1, 4) {
                let (size, latency) = (rng.between(0, 3_000), rng.between(1, 3_000));
                let which = if kind == "grpc" {
                    format!("grpc: shop.v1.Store/M{route}, status: {{OK: 3, NOT_FOUND: 1, 13: 1}}")
                } else {
                    let path = rng.pick(&["/", "/users/{int}", "/a/{uuid}/b", "/s/{slug}?q={word}", "/d/{date}"]);
                    let methods = ["GET: 1", "POST: 1, PUT: 1", head, "DELETE: 1, PATCH: 1", "OPTIONS: 1"];
                    let methods = rng.pick(&methods);
                    let status =
                        rng.pick(&["200: 1", "200: 9, 404: 1", "201: 1, 500: 1", "204: 1, 302: 1", "304: 1, 503: 2"]);
                    format!("path: '{path}', methods: {{{methods}}}, status: {{{status}}}")
                };
                line(format_args!(
                    "      - {{{which}, latency: {latency}us, response_body: {{uniform: [0, {size}]}}}}"
                ));
            }
        }
        (text, if kind == "http1" { "http" } else { "http2" })
    }
}
