//! What redtape says of itself, through prometheus-client: as metrics of the program, not of a tape.
//!
//! Names are those of Beyla's internal metrics, where it has the thing, with `redtape_` for its `beyla_`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode_eof;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use redtape_core::metric::{FamilyKind, Snapshot};

use super::answer::Page;
use super::window::Shown;
use crate::export::{Counted, ExportCounters};

/// Where the numbers come from.
#[derive(Debug)]
pub(super) struct Internal {
    counters: Arc<ExportCounters>,
    /// Listeners' ports and what they serve.
    pages: Vec<(u16, Arc<[Page]>)>,
    /// Whether lagging behind makes sense.
    live: bool,
}

/// The numbers at one moment.
struct View<'a> {
    internal: &'a Internal,
    /// `None` before anything was shown.
    shown: Option<&'a Shown>,
}

/// A sample: the values of the labels, and the number.
type Sample = (Vec<String>, f64);

/// One metric.
struct Family {
    /// Without the suffixes of samples.
    name: &'static str,
    /// A sentence.
    help: &'static str,
    kind: MetricType,
    labels: &'static [&'static str],
    samples: fn(&View<'_>) -> Vec<Sample>,
}

/// All of them, by name.
const FAMILIES: &[Family] = &[
    Family {
        name: "process_resident_memory_bytes",
        help: "Memory that redtape has in use.",
        kind: MetricType::Gauge,
        labels: &[],
        samples: |_| resident_bytes().map(one).into_iter().flatten().collect(),
    },
    Family {
        name: "redtape_blocks_waiting",
        help: "Blocks of the tape that the engine has not taken in yet, of 16 at most; only live.",
        kind: MetricType::Gauge,
        labels: &[],
        samples: |view| view.blocks().into_iter().flatten().collect(),
    },
    Family {
        name: "redtape_diagnostics",
        help: "What was wrong with the input, and bounds that were reached.",
        kind: MetricType::Counter,
        labels: &["kind"],
        samples: |view| view.totals(|totals| named(totals.diagnostics.iter().map(|(kind, n)| (kind.name(), *n)))),
    },
    Family {
        name: "redtape_events",
        help: "Events of the tape.",
        kind: MetricType::Counter,
        labels: &[],
        samples: |view| view.totals(|totals| one(totals.events)),
    },
    Family {
        name: "redtape_export_pending",
        help: "Spans, points and samples that have neither arrived at a back end nor were given up, tries under way included.",
        kind: MetricType::Gauge,
        labels: &["exporter"],
        samples: |view| view.by_queue(|counted| counted.pending()),
    },
    Family {
        name: "redtape_export_queue_capacity",
        help: "How much the queue before a back end holds.",
        kind: MetricType::Gauge,
        labels: &["exporter"],
        samples: |view| view.by_queue(|counted| counted.room),
    },
    Family {
        name: "redtape_export_queue_size",
        help: "What waits in the queue before a back end: spans, snapshots of all metrics, requests of remote write.",
        kind: MetricType::Gauge,
        labels: &["exporter"],
        samples: |view| view.by_queue(|counted| counted.waiting),
    },
    Family {
        name: "redtape_export_requests",
        help: "Requests to back ends, retries included.",
        kind: MetricType::Counter,
        labels: &["exporter"],
        samples: |view| view.by_exporter(|counted| counted.requests),
    },
    Family {
        name: "redtape_export_retries",
        help: "Requests to back ends that repeated one that had failed.",
        kind: MetricType::Counter,
        labels: &["exporter"],
        samples: |view| view.by_exporter(|counted| counted.retried),
    },
    Family {
        name: "redtape_instrumented_processes",
        help: "Processes of which spans were seen.",
        kind: MetricType::Gauge,
        labels: &["process_name"],
        samples: |view| view.shown.map_or_else(Vec::new, |shown| processes(&shown.snapshot)),
    },
    Family {
        name: "redtape_internal_build",
        help: "The version that runs.",
        kind: MetricType::Info,
        labels: &["version"],
        samples: |_| vec![(vec![env!("CARGO_PKG_VERSION").into()], 1.0)],
    },
    Family {
        name: "redtape_late_events",
        help: "Events that came later than the recorder's reorder window.",
        kind: MetricType::Counter,
        labels: &[],
        samples: |view| view.totals(|totals| one(totals.late)),
    },
    Family {
        name: "redtape_lost_records",
        help: "Records that were produced but are not on the tape; bytes, for damaged and cut tapes.",
        kind: MetricType::Counter,
        labels: &["cause"],
        samples: |view| view.totals(|totals| named(totals.lost.iter().map(|(cause, n)| (cause.name(), *n)))),
    },
    Family {
        name: "redtape_otel_metric_export_errors",
        help: "Points of metrics that OTLP did not deliver.",
        kind: MetricType::Counter,
        labels: &["error"],
        samples: |view| errors(view.internal.counters.metrics.counted()),
    },
    Family {
        name: "redtape_otel_metric_exports",
        help: "Points of metrics that OTLP delivered.",
        kind: MetricType::Counter,
        labels: &[],
        samples: |view| one(view.internal.counters.metrics.counted().exported),
    },
    Family {
        name: "redtape_otel_trace_export_errors",
        help: "Spans that OTLP did not deliver.",
        kind: MetricType::Counter,
        labels: &["error"],
        samples: |view| errors(view.internal.counters.traces.counted()),
    },
    Family {
        name: "redtape_otel_trace_exports",
        help: "Spans that OTLP delivered.",
        kind: MetricType::Counter,
        labels: &[],
        samples: |view| one(view.internal.counters.traces.counted().exported),
    },
    Family {
        name: "redtape_prometheus_http_requests",
        help: "Requests for metrics.",
        kind: MetricType::Counter,
        labels: &["port", "path"],
        samples: |view| requests(&view.internal.pages),
    },
    Family {
        name: "redtape_remote_write_export_errors",
        help: "Samples that remote write did not deliver.",
        kind: MetricType::Counter,
        labels: &["error"],
        samples: |view| errors(view.internal.counters.remote_write.counted()),
    },
    Family {
        name: "redtape_remote_write_exports",
        help: "Samples that remote write delivered.",
        kind: MetricType::Counter,
        labels: &[],
        samples: |view| one(view.internal.counters.remote_write.counted().exported),
    },
    Family {
        name: "redtape_series",
        help: "Series of each metric, also those that are not shown any more.",
        kind: MetricType::Gauge,
        labels: &["metric"],
        samples: |view| view.shown.map_or_else(Vec::new, |shown| series(&shown.snapshot)),
    },
    Family {
        name: "redtape_spans",
        help: "Spans.",
        kind: MetricType::Counter,
        labels: &[],
        samples: |view| view.totals(|totals| one(totals.spans)),
    },
    Family {
        name: "redtape_tape_lag_seconds",
        help: "How far the tape is behind the clock; only live.",
        kind: MetricType::Gauge,
        labels: &[],
        samples: |view| view.lag().into_iter().collect(),
    },
];

impl Internal {
    pub(super) fn new(counters: Arc<ExportCounters>, pages: Vec<(u16, Arc<[Page]>)>, live: bool) -> Self {
        Self { counters, pages, live }
    }

    /// Writes all of them as OpenMetrics, which every scraper of today takes.
    pub(super) fn write(&self, out: &mut String, shown: Option<&Shown>) -> fmt::Result {
        let view = View { internal: self, shown };
        let taken = FAMILIES.iter().map(|family| (family, (family.samples)(&view))).collect();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Taken(taken)));
        prometheus_client::encoding::text::encode_registry(out, &registry)?;
        encode_eof(out)
    }
}

impl View<'_> {
    fn totals(&self, samples: impl Fn(&redtape_core::Totals) -> Vec<Sample>) -> Vec<Sample> {
        self.shown.map_or_else(Vec::new, |shown| samples(&shown.totals))
    }

    fn exporters(&self) -> impl Iterator<Item = (&'static str, Counted)> {
        let ExportCounters { traces, metrics, remote_write, .. } = &*self.internal.counters;
        let all = [("otlp_metrics", metrics), ("otlp_traces", traces), ("remote_write", remote_write)];
        all.map(|(name, counters)| (name, counters.counted())).into_iter()
    }

    fn by_exporter(&self, number: impl Fn(Counted) -> u64) -> Vec<Sample> {
        named(self.exporters().map(|(name, counted)| (name, number(counted))))
    }

    /// Only exporters that there are.
    fn by_queue(&self, number: impl Fn(Counted) -> u64) -> Vec<Sample> {
        named(self.exporters().filter(|(_, counted)| counted.room > 0).map(|(name, counted)| (name, number(counted))))
    }

    fn blocks(&self) -> Option<Vec<Sample>> {
        self.internal.live.then(|| one(self.internal.counters.blocks.load(Ordering::Relaxed)))
    }

    fn lag(&self) -> Option<Sample> {
        let shown = self.shown.filter(|_| self.internal.live)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_nanos();
        let behind = now.saturating_sub(u128::from(shown.wall.unix_nanos()));
        Some((Vec::new(), behind as f64 / 1e9))
    }
}

fn one(number: u64) -> Vec<Sample> {
    vec![(Vec::new(), number as f64)]
}

fn named<'a>(numbers: impl Iterator<Item = (&'a str, u64)>) -> Vec<Sample> {
    numbers.map(|(name, number)| (vec![name.to_owned()], number as f64)).collect()
}

fn errors(counted: Counted) -> Vec<Sample> {
    named([("failed", counted.failed), ("queue_full", counted.dropped)].into_iter())
}

fn requests(listeners: &[(u16, Arc<[Page]>)]) -> Vec<Sample> {
    let pages = listeners.iter().flat_map(|(port, pages)| pages.iter().map(move |page| (port, page)));
    pages
        .map(|(port, page)| (vec![port.to_string(), page.path.clone()], page.requests.load(Ordering::Relaxed) as f64))
        .collect()
}

fn series(snapshot: &Snapshot) -> Vec<Sample> {
    let families = snapshot.families.iter().filter(|family| !family.series.is_empty());
    named(families.map(|family| (family.name, family.series.len() as u64)))
}

/// Each process has its own `target_info`.
fn processes(snapshot: &Snapshot) -> Vec<Sample> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for family in snapshot.families.iter().filter(|family| family.kind == FamilyKind::Info) {
        let Some(name) = family.labels.iter().position(|label| *label == "service_name") else { continue };
        for name in family.series.iter().filter_map(|series| series.values.get(name)) {
            *counts.entry(name).or_default() += 1;
        }
    }
    named(counts.into_iter())
}

/// As the kernel tells it (proc_pid_statm(5)); nothing where there is no such kernel.
fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Samples on their way to the encoder. prometheus-client's own families are hash maps, whose order is no order.
struct Taken(Vec<(&'static Family, Vec<Sample>)>);

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Taken").field(&self.0.len()).finish()
    }
}

impl Collector for Taken {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (family, samples) in self.0.iter().filter(|(_, samples)| !samples.is_empty()) {
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
            for (values, number) in samples {
                let labels: Vec<_> = family.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
                match family.kind {
                    MetricType::Info => metric.encode_info(&labels)?,
                    MetricType::Counter if labels.is_empty() => {
                        metric.encode_counter::<NoLabelSet, _, f64>(number, None)?;
                    }
                    MetricType::Counter => {
                        metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(number, None)?;
                    }
                    _ if labels.is_empty() => metric.encode_gauge(number)?,
                    _ => metric.encode_family(&labels)?.encode_gauge(number)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(live: bool) -> String {
        let page = Page { path: "/metrics".into(), what: super::super::answer::What::Metrics, requests: 3.into() };
        let counters = Arc::new(ExportCounters::default());
        counters.remote_write.exported(7);
        counters.traces.given(9);
        counters.traces.exported(4);
        counters.traces.dropped(2);
        counters.blocks.store(3, Ordering::Relaxed);
        let (queue, _entries) = tokio::sync::mpsc::channel(4);
        queue.try_send(()).unwrap();
        counters.traces.look_at(&queue);
        let internal = Internal::new(counters, vec![(9090, [page].into())], live);
        let shown = Shown {
            at: redtape_core::MonoNanos::ZERO,
            wall: redtape_core::WallNanos::new(1),
            snapshot: Arc::default(),
            totals: redtape_core::Totals { events: 5, ..Default::default() },
        };
        let mut text = String::new();
        internal.write(&mut text, Some(&shown)).unwrap();
        text
    }

    #[test]
    fn all_is_there_in_one_order() {
        let text = written(true);
        for line in [
            "redtape_events_total 5.0\n",
            "redtape_prometheus_http_requests_total{port=\"9090\",path=\"/metrics\"} 3.0\n",
            "redtape_otel_trace_export_errors_total{error=\"queue_full\"} 2.0\n",
            "redtape_remote_write_exports_total 7.0\n",
            "# TYPE redtape_internal_build info\n",
            "redtape_tape_lag_seconds ",
            "redtape_blocks_waiting 3.0\n",
            "redtape_export_pending{exporter=\"otlp_traces\"} 3.0\n",
            "redtape_export_queue_size{exporter=\"otlp_traces\"} 1.0\n",
            "redtape_export_queue_capacity{exporter=\"otlp_traces\"} 4.0\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(text.ends_with("# EOF\n"));
        assert!(FAMILIES.is_sorted_by_key(|family| family.name));
        assert!(!written(false).contains("redtape_tape_lag_seconds"));
        assert!(!written(false).contains("redtape_blocks_waiting"));
        assert!(!text.contains("queue_size{exporter=\"remote_write\"}"), "there is none");
    }

    #[test]
    fn the_page_has_all_of_them() {
        const PAGE: &str = include_str!("../../../docs/metrics.md");
        let line = |family: &Family| {
            let (suffix, kind) = match family.kind {
                MetricType::Counter => ("_total", "counter"),
                MetricType::Info => ("_info", "info"),
                _ => ("", "gauge"),
            };
            format!("| `{}{suffix}` | {kind} | {} | {} |", family.name, family.labels.join(", "), family.help)
        };
        let expected: Vec<_> = FAMILIES.iter().map(line).collect();
        let (_, table) = PAGE.split_once("## Metrics of redtape itself\n").unwrap();
        let table = table.split("\n## ").next().unwrap();
        let found: Vec<_> = table.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(found, expected, "what docs/metrics.md should have:\n{}", expected.join("\n"));
    }
}
