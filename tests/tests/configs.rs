//! Configuration files as they are found in tutorials: what `redtape config` says of them, to the byte.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use redtape_tests::binary;
use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/beyla-configs")
}

/// Runs `redtape config` among the fixtures, with no other environment than `env`.
fn config(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary("redtape").unwrap());
    command.arg("config").args(arguments).env_clear().envs(env.iter().copied()).current_dir(fixtures());
    command.output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn files_of_tutorials_are_explained() {
    for name in ["everything", "ports", "services"] {
        let expected = fs::read_to_string(fixtures().join(format!("{name}.txt"))).unwrap();
        let file = format!("{name}.yml");
        assert_eq!(said(&config(&["check", &file], &[])), (Some(0), expected, String::new()), "{name}");
        // As the variable names it.
        let named = config(&["check", "--json"], &[("BEYLA_CONFIG_PATH", &file)]);
        let json: Value = serde_json::from_slice(&named.stdout).unwrap();
        assert_eq!((json["file"].as_str(), &json["error"]), (Some(file.as_str()), &Value::Null));
    }
}

#[test]
fn a_tab_is_called_a_tab() {
    let error = "redtape: tab.yml:4:1: a tab is used as indentation, which YAML does not allow; use spaces\n";
    assert_eq!(said(&config(&["check", "tab.yml"], &[])), (Some(2), String::new(), error.into()));
    let (code, json, _) = said(&config(&["check", "--json", "tab.yml"], &[]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["error"]["line"]), (Some(2), &Value::from(4)));
}

#[test]
fn an_endpoint_without_a_scheme_is_no_url() {
    let no_url = |name: &str| {
        format!("`{name}` is no URL: write `http://` or `https://`, host and port, as in http://localhost:4317\n")
    };
    let in_file = no_url("tempo-distributor.tracing:4317");
    let expected = format!("redtape: no-scheme.yml:3:3: otel_traces_export.endpoint: {in_file}");
    assert_eq!(said(&config(&["check", "no-scheme.yml"], &[])), (Some(2), String::new(), expected));
    let expected = format!("redtape: the environment: otel_traces_export.endpoint: {}", no_url("tempo:4317"));
    let env = ("OTEL_EXPORTER_OTLP_ENDPOINT", "tempo:4317");
    assert_eq!(said(&config(&["check", "ports.yml"], &[env])), (Some(2), String::new(), expected));
    // Whether there is TLS may be said elsewhere.
    let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "true");
    assert_eq!(said(&config(&["check", "no-scheme.yml"], &[insecure])).0, Some(0));
}

#[test]
fn the_environment_alone_is_a_configuration() {
    let env = [
        ("BEYLA_OPEN_PORT", "8443"),
        ("BEYLA_EXECUTABLE_NAME", "server"),
        ("BEYLA_PRINT_TRACES", "true"),
        ("BEYLA_PROMETHEUS_PORT", "9100"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:secret@tempo:4318"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret"),
    ];
    let output = config(&["check", "--json"], &env);
    let (code, text, errors) = said(&output);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(!text.contains("secret"), "{text}");
    let json: Value = serde_json::from_str(&text).unwrap();
    let condition = "it listens on 8443 and the path of its executable contains `server`";
    assert_eq!(json["records"][0]["condition"], condition);
    let exports = [
        "traces by OTLP to http://tempo:4318/v1/traces, sampled by parentbased_always_on",
        "metrics by OTLP to http://tempo:4318/v1/metrics",
        "metrics to be scraped at :9100/metrics",
        "spans to standard output, as text",
    ];
    assert_eq!(json["exports"], Value::from(exports.to_vec()));
    assert_eq!(json["environment"].as_array().unwrap().len(), env.len());
}

#[test]
fn what_takes_effect_is_shown_without_secrets() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("c.yml");
    fs::write(
        &file,
        "# ours\notel_traces_export:\n  endpoint: http://${HOST:-tempo}:4317\n  headers: {a: '${TOKEN}'}\n",
    )
    .unwrap();
    let shown = config(&["show", file.to_str().unwrap()], &[("TOKEN", "s3cret"), ("BEYLA_OPEN_PORT", "80")]);
    let expected = "# ours\notel_traces_export:\n  endpoint: http://tempo:4317\n  headers: {a: REDACTED}\n\
                    # BEYLA_OPEN_PORT=80 stands for open_port\n";
    assert_eq!(said(&shown), (Some(0), expected.into(), String::new()));
    let (code, _, error) = said(&config(&["show", file.to_str().unwrap()], &[]));
    assert_eq!(code, Some(2));
    assert!(error.contains("c.yml:4:17: `TOKEN` is not set"), "{error}");
}

#[test]
fn spans_are_printed_as_beyla_prints_them() {
    let printed = |form: &str| {
        let tape = fixtures().join("../greetings-demo/greetings.tape");
        let mut command = Command::new(binary("redtape").unwrap());
        let output = command.args(["replay", "--trace-printer", form]).arg(tape).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let text = printed("text");
    let first = "2026-11-22 19:00:46.23208 (797.3µs[30.675µs]) 404 GET /missing(/missing) [127.0.0.1]->[127.0.0.1:7777] \
                 contentLen:0B responseLen:13B svc=[frontend generic] traceparent=[00-02ea24a226cb97babb7e85046af5809c-\
                 f9f25c39d096d660[0000000000000000]-01]";
    assert_eq!((text.lines().next(), text.lines().count()), (Some(first), 2520));
    assert_eq!(printed("counter"), "Processed 2520 requests\n");
    for form in ["json", "json_indent"] {
        let text = printed(form);
        let spans: Vec<Value> = serde_json::Deserializer::from_str(&text).into_iter().map(Result::unwrap).collect();
        let span = &spans[0][0];
        assert_eq!((spans.len(), &span["type"], &span["spanID"]), (2520, &"HTTP".into(), &"f9f25c39d096d660".into()));
        assert_eq!((&span["attributes"]["status"], &span["durationUSec"]), (&"404".into(), &"797".into()));
    }
}
