//! What holds of every page, whatever is on it.

use libtest_mimic::Trial;
use redtape_core::synth::Workload;
use redtape_tests::{Result, Visit, trial, visit};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{BROWSER, fixture, report, tapes};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("a_page_works_by_keyboard_in_both_themes_and_on_a_phone", &BROWSER, greetings),
        trial("a_page_of_nothing_says_so", &BROWSER, nothing),
        trial("ten_thousand_spans_open", &BROWSER, ten_thousand),
        trial("two_tapes_are_compared", &BROWSER, compared),
        trial("the_same_tape_gives_the_same_page", &[], same),
        trial("the_page_of_a_damaged_tape_tells_of_it", &BROWSER, damaged),
    ]
}

/// No error, no request but for the page itself, and nothing that some could not read or reach.
pub(super) fn sound(seen: &Visit) {
    assert_eq!(seen.errors, [""; 0]);
    assert_eq!(seen.console, [""; 0]);
    assert_eq!(seen.requests.len(), 3, "one a visit: {:?}", seen.requests);
    assert!(seen.requests.iter().all(|url| url.starts_with("file:///")), "{:?}", seen.requests);
    let accessible = json!({
        "language": "en", "unnamed": [], "without_caption": 0, "without_header": 0, "charts_without_table": [],
        "same_ids": [], "skipped_levels": 0, "landmarks": [],
    });
    assert_eq!(seen.accessibility, accessible);
    for theme in [&seen.light, &seen.dark] {
        // WCAG 2.2, 1.4.3 (AA).
        assert!(theme["ratio"].as_f64().unwrap() >= 4.5, "too little contrast: {theme}");
    }
    assert_ne!(seen.light["background"], seen.dark["background"]);
    assert_eq!(seen.phone["wide"], seen.phone["viewport"], "{}", seen.phone);
    assert_eq!(seen.phone["beyond"], json!([]));
    for chart in &seen.charts {
        assert!(chart["marks"].as_u64().unwrap() > 0 && !chart["label"].as_str().unwrap().is_empty(), "{chart}");
    }
}

fn greetings() -> Result<()> {
    let folder = TempDir::new()?;
    let seen = visit(&report(folder.path(), &fixture("greetings-demo/greetings.tape"), &[])?, "greetings")?;
    sound(&seen);
    assert_eq!(seen.charts.len(), 7, "{:?}", seen.charts);
    assert_eq!(seen.desktop["beyond"], json!([]), "tables that have to be scrolled at 1280 pixels");
    let [route, wanted] =
        ["route", "wanted"].map(|key| seen.linked[key].as_str().expect("a route leads to its traces"));
    assert!(wanted.ends_with(&format!(" GET {route}")), "{}", seen.linked);
    assert!(seen.linked["traces"].as_u64() > Some(0), "{}", seen.linked);
    let keyboard = &seen.keyboard;
    assert_eq!(keyboard["first"][0], "a Skip to the content");
    assert_eq!(keyboard["outlined"], "solid", "where the focus is cannot be seen");
    let services = |order: &str| keyboard[order][1].as_array().unwrap().clone();
    assert_eq!(
        [&keyboard["unsorted"], &keyboard["ascending"][0], &keyboard["descending"][0]],
        [&Value::Null, &json!("ascending"), &json!("descending")]
    );
    let sorted = |mut names: Vec<Value>| {
        names.sort_by_key(|name| name.as_str().map(str::to_owned));
        names
    };
    assert_eq!(services("ascending"), sorted(services("ascending")));
    assert_eq!(services("descending").into_iter().rev().collect::<Vec<_>>(), sorted(services("descending")));
    assert_eq!(keyboard["filtered"], true);
    assert!(keyboard["opened"].as_str().unwrap().starts_with("h3 "), "the focus is at {}", keyboard["opened"]);
    assert_eq!(keyboard["expanded"], "true");
    assert!(keyboard["attributes"].as_str().unwrap().contains("http.request.method"));
    assert_eq!(keyboard["closed"], keyboard["trace"], "closing a trace does not go back to where it was opened");
    assert_ne!(keyboard["theme"][0], keyboard["theme"][1]);
    let spans = keyboard["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 7, "the slowest trace is a greeting");
    let waits = spans.iter().filter(|span| span["queue"].is_string()).count();
    assert_eq!(waits, 4, "each server span has its time in the queue");
    Ok(())
}

fn nothing() -> Result<()> {
    let folder = TempDir::new()?;
    let tape = tapes::write(folder.path(), [].into_iter())?;
    let seen = visit(&report(folder.path(), &tape, &[])?, "nothing")?;
    sound(&seen);
    assert_eq!((seen.red, seen.tiles["served"]), (None, 0));
    Ok(())
}

fn compared() -> Result<()> {
    let folder = TempDir::new()?;
    let tapes = ["greetings-demo/greetings.tape", "protocols/h2.tape"].map(fixture);
    let [tape, other] = tapes.each_ref().map(|tape| tape.to_str().unwrap());
    let seen = visit(&report(folder.path(), &tapes[0], &["--compare", other])?, "compared")?;
    sound(&seen);
    let changed = seen.tables["compare-red"].as_ref().expect("there is a table of changed rows");
    let states: Vec<_> = changed.iter().map(|row| row["Row"].text.as_str()).collect();
    assert!(states.contains(&"new") && states.contains(&"gone"), "{states:?}");
    let page = std::fs::read_to_string(report(folder.path(), &tapes[0], &["--compare", tape])?)?;
    assert!(page.contains("\"differences\":0,"), "a tape differs from itself");
    Ok(())
}

fn same() -> Result<()> {
    let folder = TempDir::new()?;
    let page = |arguments: &[&str]| -> Result<Vec<u8>> {
        Ok(std::fs::read(report(folder.path(), &fixture("greetings-demo/greetings.tape"), arguments)?)?)
    };
    let first = page(&[])?;
    assert!(page(&[])? == first && page(&["--jobs", "4"])? == first);
    Ok(())
}

fn damaged() -> Result<()> {
    let folder = TempDir::new()?;
    let seen = visit(&report(folder.path(), &fixture("tapes/1.0/missing-bytes.tape"), &[])?, "damaged")?;
    sound(&seen);
    let lost = seen.tables["lost"].as_ref().expect("there is a table of losses");
    assert!(lost.iter().any(|row| row["What"].text == "corrupt"), "{lost:?}");
    Ok(())
}

/// How long it takes is told, not asserted: machines differ.
fn ten_thousand() -> Result<()> {
    let folder = TempDir::new()?;
    let tape = tapes::write(folder.path(), Workload { transactions: 10_000, seed: 5 }.events())?;
    let page = report(folder.path(), &tape, &[])?;
    let seen = visit(&page, "ten-thousand")?;
    sound(&seen);
    assert_eq!(seen.tiles["served"], 10_000);
    assert!(seen.traces_shown.contains(" of 10,000 traces"), "{}", seen.traces_shown);
    let size = std::fs::metadata(&page)?.len();
    assert!(size < 4 << 20, "{size} bytes");
    eprintln!("a page of 10,000 spans: {size} bytes, open after {:.0} ms", seen.open_ms);
    Ok(())
}
