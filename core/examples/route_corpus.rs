//! Gives routes to a corpus of requests, to be scored: reads lines that begin with `service<TAB>request target`, writes
//! each with its route.
//!
//!     cargo run --release -p redtape-core --example route_corpus -- heuristic < truth.tsv > pred.tsv
//!
//! The argument is `heuristic`, `online` or `whole` (`low-cardinality` with either evidence).

use std::error::Error;
use std::io::{BufWriter, Read, Write, stdin, stdout};

use redtape_core::config::{RoutesConfig, Unmatched};
use redtape_core::{Decorator, Evidence, Limits, SpanKind};

fn main() -> Result<(), Box<dyn Error>> {
    let (unmatched, evidence) = match std::env::args().nth(1).as_deref() {
        Some("heuristic") => (Unmatched::Heuristic, Evidence::Online),
        Some("online") => (Unmatched::LowCardinality, Evidence::Online),
        Some("whole") => (Unmatched::LowCardinality, Evidence::Whole),
        _ => return Err("give one of: heuristic, online, whole".into()),
    };
    let config = RoutesConfig { unmatched, ..RoutesConfig::default() };
    let mut decorator = Decorator::new(&config, [], evidence, &Limits::default())?;
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    let rows = || {
        text.lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(service, rest)| (service, rest.split('\t').next().unwrap_or(rest)))
    };
    if evidence == Evidence::Whole {
        rows().for_each(|(service, target)| decorator.observe(service, SpanKind::Server, "GET", target));
    }
    let mut out = BufWriter::new(stdout().lock());
    for (service, target) in rows() {
        let decision = decorator.decorate(service, SpanKind::Server, "GET", target);
        writeln!(out, "{service}\t{target}\t{}", decision.route)?;
    }
    Ok(out.flush()?)
}
