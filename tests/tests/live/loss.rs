//! Loss: what a stalled recorder does not see is counted, and nothing that it did see becomes a wrong span.

use std::process::Command;

use libtest_mimic::Trial;
use redtape_tests::{Load, Recorder, Requirement, Result, Server, Signal, trial};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/lengths.py");

pub(crate) fn trials() -> Vec<Trial> {
    const PYTHON: &[Requirement] = &[Requirement::Bpf, Requirement::Program("python3")];
    vec![trial("loss::a_stalled_reader_loses_and_never_lies", PYTHON, stalled)]
}

fn stalled() -> Result<()> {
    let server = Server::start(Command::new("python3").arg(SCRIPT), "listening on")?;
    let paths: Vec<_> = (1..200).map(|length| format!("/{length}")).collect();
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    let load = Load::new(server.url(), 600, &paths);

    let mut recorder = Recorder::start(["--port", &server.port().to_string(), "--ring-size", "64K"])?;
    // Some requests before, many while the recorder stands still, some after.
    let mut truth = Load { requests: 50, ..load.clone() }.send()?.answered;
    recorder.process().signal(Signal::STOP)?;
    truth += load.send()?.answered;
    recorder.process().signal(Signal::CONT)?;
    truth += Load { requests: 50, ..load }.send()?.answered;
    let recording = recorder.stop()?;

    let info = recording.info()?;
    assert!(info.lost > 0, "a ring of 64 KiB is meant to overflow: {info:?}");
    let spans = recording.spans()?;
    let whole: Vec<_> = spans.iter().filter(|span| span.is_server() && !span.incomplete).collect();
    assert!(whole.len() >= 100 && (whole.len() as u64) < truth, "{} of {truth}", whole.len());
    for span in whole {
        assert_eq!(span.status_code(), "200", "{span:?}");
        assert_eq!(span.path(), format!("/{}", span.attribute("http.response.body.size")), "{span:?}");
    }
    Ok(())
}
