//! The numbers of a page are those of `redtape replay` on the same tape.

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use redtape_tests::{Result, Visit, replay, trial, visit};
use serde_json::Value;
use tempfile::TempDir;

use super::{BROWSER, fixture, report};

const TAPES: [&str; 3] = ["greetings-demo/greetings.tape", "protocols/grpc-unary.tape", "protocols/h2.tape"];

pub(super) fn trials() -> Vec<Trial> {
    let equal = |tape: &'static str| trial(format!("{tape}_has_the_numbers_of_replay"), &BROWSER, move || equal(tape));
    TAPES.into_iter().map(equal).collect()
}

fn equal(name: &str) -> Result<()> {
    let folder = TempDir::new()?;
    let tape = fixture(name);
    let shot = name.rsplit_once('/').map_or(name, |(_, file)| file).trim_end_matches(".tape");
    let seen = visit(&report(folder.path(), &tape, &[])?, &format!("{shot}-numbers"))?;
    super::walk::sound(&seen);
    assert_eq!(page_rows(&seen), summary_rows(&replay(&tape, &[])?));
    exact(&seen, &serde_json::from_str(&replay(&tape, &["--metrics", "json"])?)?);
    Ok(())
}

/// The rows of the RED table as the page shows them, sorted.
fn page_rows(seen: &Visit) -> Vec<Vec<String>> {
    let columns =
        ["Service", "Kind", "Method", "Route", "Count", "Rate/s", "Errors", "p50", "p95", "p99", "Max", "Queue p95"];
    let rows = seen.red.as_ref().expect("there is a RED table").iter();
    let text = |cell: &str| if cell == "–" { "-".to_owned() } else { cell.replace(',', "") };
    let mut rows: Vec<Vec<_>> = rows.map(|row| columns.map(|column| text(&row[column].text)).into()).collect();
    rows.sort();
    rows
}

/// The rows of the RED table as `redtape replay` prints them, sorted.
fn summary_rows(summary: &str) -> Vec<Vec<String>> {
    let lines = summary.lines().skip_while(|line| !line.starts_with("service ")).skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    let mut rows: Vec<Vec<_>> = lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
    rows.sort();
    rows
}

/// By service and route, how many requests were served: behind the page's cells, and in the histograms.
fn exact(seen: &Visit, metrics: &Value) {
    let mut page: BTreeMap<(String, String), u64> = BTreeMap::new();
    for row in seen.red.iter().flatten().filter(|row| row["Kind"].text == "server" && row["Method"].text != "gRPC") {
        let value = |column: &str| row[column].value.clone().unwrap_or_default();
        let route = value("Route").replace('–', "");
        *page.entry((value("Service"), route)).or_default() += value("Count").parse::<u64>().unwrap();
    }
    let mut histograms: BTreeMap<(String, String), u64> = BTreeMap::new();
    let all = metrics["metrics"].as_array().unwrap();
    for series in all
        .iter()
        .filter(|one| one["name"] == "http_server_request_duration_seconds")
        .flat_map(|one| one["series"].as_array().unwrap())
    {
        let label = |name: &str| series["labels"][name].as_str().unwrap_or_default().to_owned();
        *histograms.entry((label("service_name"), label("http_route"))).or_default() +=
            series["count"].as_u64().unwrap();
    }
    assert_eq!(page, histograms);
    let served: u64 = seen
        .red
        .iter()
        .flatten()
        .filter(|row| row["Kind"].text == "server")
        .map(|row| row["Count"].value.as_ref().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(seen.tiles["served"], served);
    let series: usize = all.iter().map(|one| one["series"].as_array().unwrap().len()).sum();
    assert_eq!(seen.tiles["series"], series as u64);
}
