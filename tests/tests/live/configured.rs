//! Beyla's configuration files, acted on: by the recorder and by the engine.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use redtape_tests::{Live, Load, Recorder, Requirement, Result, Server, binary, get, message_at, trial};

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn trials() -> Vec<Trial> {
    const BPF: &[Requirement] = &[Requirement::Bpf];
    vec![
        trial("configured::the_file_of_a_walk_through_works_live", BPF, walk_through),
        trial("configured::the_environment_alone_chooses_what_is_recorded", BPF, environment),
        trial("configured::secrets_are_not_on_the_tape", BPF, secrets),
    ]
}

/// A server on a port from 80 to 8989, of which some program below names all but those of redtape's own endpoints.
fn server() -> Result<Server> {
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let port = (8100..8980).find(free).ok_or("no port is free")?;
    message_at(&format!("127.0.0.1:{port}"))
}

fn walk_through() -> Result<()> {
    let server = server()?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/beyla-configs/everything.yml");
    let mut command = Command::new(binary("redtape")?);
    command.arg("live").arg("--recorder").arg(binary("redtape-capture")?).arg("--config").arg(file);
    let mut live = Live::start_command(&mut command)?.ready()?;
    Load::new(server.url(), 50, &["/message=9", "/health=1"]).send()?;
    let line = format!(" 200 GET /message(/message) [127.0.0.1]->[127.0.0.1:{}] ", server.port());
    let printed = |stdout: &str, _: &str| (stdout.matches(&line).count() >= 40).then_some(());
    live.process().wait_for("spans as text", LIMIT, printed)?;
    let metrics = get(8999, "/metrics", &[])?.body;
    let counted = |line: &str| {
        line.starts_with("http_server_request_duration_seconds_count") && line.contains(r#"http_route="/message""#)
    };
    assert!(metrics.lines().any(counted), "{metrics}");
    assert!(!metrics.contains("/health"), "ignored, and still counted");
    assert!(get(8990, "/metrics", &[])?.body.contains("redtape_"), "metrics of redtape itself");
    let finished = live.stop()?;
    assert!(!finished.stdout.contains(" GET /health"), "ignored, and still printed");
    assert!(finished.stderr.contains("tempo-distributor.tracing"), "nobody told of the back end that is not there");
    Ok(())
}

fn environment() -> Result<()> {
    let (server, other) = (server()?, Server::python()?);
    let mut command = Command::new(binary("redtape-capture")?);
    command.env("BEYLA_OPEN_PORT", server.port().to_string()).env("BEYLA_EXECUTABLE_NAME", "greetings");
    let recorder = Recorder::start_with(&mut command, [] as [&str; 0])?;
    for server in [&server, &other] {
        Load::new(server.url(), 5, &["/message"]).send()?;
    }
    let recording = recorder.stop()?;
    let spans = recording.spans()?;
    let requests = spans.iter().filter(|span| span.kind != "internal");
    let seen: Vec<_> = requests.map(|span| (span.kind.as_str(), span.service.as_str())).collect();
    assert_eq!(seen, [("server", "greetings"); 5]);
    Ok(())
}

fn secrets() -> Result<()> {
    let server = server()?;
    let folder = tempfile::TempDir::new()?;
    let file = folder.path().join("config.yml");
    let text = "service_name: shop # ours\nopen_port: '${PORT}'\notel_traces_export: {headers: {a: '${TOKEN}'}}\n";
    std::fs::write(&file, text)?;
    let mut command = Command::new(binary("redtape-capture")?);
    command.env("PORT", server.port().to_string()).env("TOKEN", "s3cret");
    let recorder = Recorder::start_with(&mut command, ["--config".as_ref(), file.as_os_str()])?;
    Load::new(server.url(), 5, &["/message"]).send()?;
    let recording = recorder.stop()?;
    let tape = std::fs::read(recording.tape())?;
    let has = |text: &str| tape.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!has("s3cret") && has("service_name: shop # ours"));
    // The replay goes by what the tape has, without the variables.
    assert_eq!(recording.spans()?.first().map(|span| span.service.clone()).as_deref(), Some("shop"));
    Ok(())
}
