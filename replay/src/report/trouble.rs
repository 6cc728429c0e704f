//! What was lost, what made no sense, and what was not seen, in words.

use redtape_core::{DiagnosticKind, LossCause, Totals};
use serde::Serialize;

/// For the page.
#[derive(Debug, Serialize)]
pub(super) struct Trouble {
    lost: Vec<Row>,
    diagnostics: Vec<Row>,
    /// What redtape could not look into, a sentence each.
    unseen: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    count: u64,
    unit: &'static str,
    meaning: &'static str,
}

impl Trouble {
    pub(super) fn of(totals: &Totals) -> Self {
        let lost = |(cause, count): (&LossCause, &u64)| Row {
            name: cause.name(),
            count: *count,
            unit: if cause.is_in_bytes() { "bytes" } else { "records" },
            meaning: meaning(*cause),
        };
        let diagnostic = |(kind, count): (&DiagnosticKind, &u64)| Row {
            name: kind.name(),
            count: *count,
            unit: "",
            meaning: kind.meaning(),
        };
        let carriers = totals.diagnostics.get(&DiagnosticKind::Tls).copied().unwrap_or(0);
        let tls = (carriers > totals.tls_seen)
            .then(|| format!("Of {carriers} TLS connections, the plaintext of {} was seen.", totals.tls_seen));
        let names = |what: &str, names: &std::collections::BTreeSet<String>| {
            let list: Vec<&str> = names.iter().map(String::as_str).collect();
            (!list.is_empty()).then(|| format!("{what} {}.", list.join(", ")))
        };
        let late = (totals.late > 0).then(|| format!("{} events came too late to be put in order.", totals.late));
        let unseen = [
            names("TLS whose plaintext was not seen is used by", &totals.opaque_tls),
            names("io_uring, whose reads and writes are not seen, is used by", &totals.io_uring),
            tls,
            late,
        ];
        Self {
            lost: totals.lost.iter().map(lost).collect(),
            diagnostics: totals.diagnostics.iter().map(diagnostic).collect(),
            unseen: unseen.into_iter().flatten().collect(),
        }
    }
}

const fn meaning(cause: LossCause) -> &'static str {
    match cause {
        LossCause::Unknown => "A cause that only newer versions know.",
        LossCause::RingFull => "The ring buffer was full: the recorder did not keep up. A larger one may help.",
        LossCause::MapFull => "A table of the BPF programs was full, so a socket could not be followed.",
        LossCause::WriterFull => "The tape could not be written fast enough, or not at all.",
        LossCause::Corrupt => "Blocks of the tape are damaged.",
        LossCause::Truncated => "The tape ends in the middle of a block.",
        LossCause::NotCaptured => "The capture of packets has holes in TCP streams: the count is of holes.",
        LossCause::ProgramSkipped => {
            "BPF programs were not run, because the CPU was in the middle of the same program."
        }
    }
}
