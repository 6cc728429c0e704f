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

fn main() {
    libtest_mimic::run(&Arguments::from_args(), trials()).exit();
}

fn trials() -> Vec<Trial> {
    // In `grpc.yaml` a port speaks both protocols, which tshark cannot be told.
    let grpc = "synth grpc --print";
    let one_protocol = move |text: String| text.replace("protocols: {http1: 1, http2: 1}", "protocols: http2");
    vec![
        trial("greetings", &[Requirement::Program("tshark")], || {
            compare("synth greetings --print", |text| text, "http")
        }),
        trial("cardinality-bomb", &[Requirement::Program("tshark")], || {
            compare("synth cardinality-bomb --print", |text| text, "http")
        }),
        trial("grpc", &[Requirement::Program("tshark")], move || compare(grpc, one_protocol, "http2")),
    ]
}

fn redtape(folder: &Path, arguments: &str) -> Result<String> {
    let mut command = Command::new(binary("redtape")?);
    command.args(arguments.split_whitespace()).current_dir(folder);
    Ok(Process::run(&mut command, LIMIT)?.expect_code(0)?.stdout)
}

/// Holds what tshark counts against the truth, request by request and status by status.
fn compare(print: &str, edit: impl Fn(String) -> String, protocol: &str) -> Result<()> {
    let folder = TempDir::new()?;
    fs::write(folder.path().join("s.yaml"), edit(redtape(folder.path(), print)?))?;
    redtape(folder.path(), "synth s.yaml --requests 200 -o s.tape --truth s.truth")?;
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
    assert_eq!(methods.values().sum::<u64>(), requests, "{methods:?}");
    assert!(requests >= 200);
    assert_eq!(dissect(folder.path(), protocol, status)?, responses);
    Ok(())
}

/// How often tshark finds each value of a field. The ports are those of synthetic services.
fn dissect(folder: &Path, protocol: &str, field: &str) -> Result<BTreeMap<String, u64>> {
    let mut command = Command::new("tshark");
    command.args(["-r", "s.pcapng", "-T", "fields", "-e", field, "-Y", field]).current_dir(folder);
    for port in [80, 8000, 8001, 8002, 8003] {
        command.arg("-d").arg(format!("tcp.port=={port},{protocol}"));
    }
    let said = Process::run(&mut command, LIMIT)?.expect_code(0)?;
    let mut counts = BTreeMap::new();
    for value in said.stdout.lines().flat_map(|line| line.split(',')) {
        *counts.entry(value.to_owned()).or_insert(0) += 1;
    }
    Ok(counts)
}
