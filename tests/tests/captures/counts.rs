//! Requests, responses and errors of a capture, as redtape counts them and as tshark does.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use redtape_tests::{Process, Result, spans};

pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// What all tools can count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) requests: usize,
    pub(crate) responses: usize,
    /// Responses with status 500 and above.
    pub(crate) errors: usize,
}

impl Totals {
    fn add(&mut self, status: &str) {
        self.responses += 1;
        self.errors += usize::from(status.parse::<u16>().is_ok_and(|status| status >= 500));
    }
}

/// What redtape counts. Of a request that both ends saw, it has two spans.
pub(crate) fn ours(capture: &Path) -> Result<Totals> {
    let spans = spans(capture, &["--quiet"])?;
    let mut totals = Totals::default();
    let servers = spans.iter().filter(|span| span.is_server());
    let mut counted = BTreeSet::new();
    for server in servers {
        let client = spans
            .iter()
            .filter(|span| span.is_client())
            .find(|client| server.parent_span_id.as_deref() == Some(&client.span_id));
        counted.extend(client.map(|client| client.span_id.as_str()));
        totals.requests += 1;
        let status = [Some(server), client].into_iter().flatten().map(|span| span.status_code());
        if let Some(status) = status.max().filter(|status| !status.is_empty()) {
            totals.add(&status);
        }
    }
    for client in spans.iter().filter(|span| span.is_client() && !counted.contains(span.span_id.as_str())) {
        totals.requests += 1;
        let status = client.status_code();
        if !status.is_empty() {
            totals.add(&status);
        }
    }
    Ok(totals)
}

/// What tshark counts, with these options.
pub(crate) fn tsharks(capture: &Path, options: &[&str]) -> Result<Totals> {
    const FIELDS: [&str; 4] =
        ["http.request.method", "http.response.code", "http2.headers.method", "http2.headers.status"];
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(capture).args(options).args(["-Y", "http or http2", "-T", "fields"]);
    command.args(FIELDS.iter().flat_map(|field| ["-e", field]));
    // It fails where a capture is cut, and prints what it has read.
    let output = Process::run(&mut command, LIMIT)?.stdout;
    let mut totals = Totals::default();
    for line in output.lines() {
        for (at, values) in line.split('\t').enumerate() {
            for value in values.split(',').filter(|value| !value.is_empty()) {
                if at % 2 == 0 { totals.requests += 1 } else { totals.add(value) }
            }
        }
    }
    Ok(totals)
}

/// Fails where the two differ.
pub(crate) fn compare(what: &str, capture: &Path, options: &[&str]) -> Result<Totals> {
    let (ours, tsharks) = (ours(capture)?, tsharks(capture, options)?);
    if ours != tsharks {
        let kept = std::env::temp_dir().join("redtape-captures-differ.pcap");
        std::fs::copy(capture, &kept)?;
        return Err(format!(
            "{what}: redtape counts {ours:?}, tshark {tsharks:?}; the capture is in {}",
            kept.display()
        )
        .into());
    }
    Ok(ours)
}
