//! `-- COMMAND`: recorded from its first instruction to its end, with what it starts.

use std::collections::BTreeSet;

use libtest_mimic::Trial;
use redtape_tests::{Recorder, Recording, Requirement, Result, Span, binary, trial};

const WAYS: [&str; 8] =
    ["/dup", "/read-write", "/readv-writev", "/recv-send", "/recvmsg-sendmsg", "/sendfile", "/shutdown", "/splice"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("command::every_way_to_read_and_write", &[Requirement::Bpf], every_way),
        trial("command::children_are_recorded_too", &[Requirement::Bpf], children),
        trial("command::its_exit_status_is_told", &[Requirement::Bpf], exit_status),
    ]
}

fn every_way() -> Result<()> {
    let exchange = binary("exchange")?;
    check_exchange(&Recorder::start(["--".as_ref(), exchange.as_os_str()])?.wait()?)
}

fn children() -> Result<()> {
    let script = format!("{} & wait", binary("exchange")?.display());
    check_exchange(&Recorder::start(["--", "sh", "-c", &script])?.wait()?)
}

fn exit_status() -> Result<()> {
    let recording = Recorder::start(["--", "sh", "-c", "exit 3"])?.wait()?;
    assert!(recording.recorder.stderr.contains('3'), "{}", recording.recorder.stderr);
    Ok(())
}

/// One exchange for each way, seen from both ends, with both ends in one trace.
fn check_exchange(recording: &Recording) -> Result<()> {
    assert_eq!(recording.info()?.lost, 0);
    let spans = recording.spans()?;
    let paths =
        |kind: fn(&Span) -> bool| -> BTreeSet<_> { spans.iter().filter(|span| kind(span)).map(Span::path).collect() };
    assert_eq!(paths(Span::is_server), WAYS.map(String::from).into());
    assert_eq!(paths(Span::is_client), WAYS.map(String::from).into());
    for server in spans.iter().filter(|span| span.is_server()) {
        assert_eq!((server.incomplete, server.status_code().as_str()), (false, "200"), "{server:?}");
        assert_eq!(server.attribute("http.response.body.size"), "6000", "{server:?}");
        let parent = spans.iter().find(|span| Some(&span.span_id) == server.parent_span_id.as_ref());
        let parent = parent.ok_or_else(|| format!("{} is not linked to its caller", server.path()))?;
        assert_eq!((parent.is_client(), parent.path()), (true, server.path()));
        assert_eq!(parent.trace_id, server.trace_id);
    }
    Ok(())
}
