//! Files of tapes: what they are called, when, and that they can be read.

use std::fs::{self, File};
use std::path::Path;

use clap::Parser;
use redtape_core::tape::{EventSource, Reader, TapeSource};
use redtape_core::{Body, Event, Ext, MonoNanos, Origin};

use super::TapeSink;
use crate::cli::{Cli, Command};
use crate::recording::{EndReason, EventSink};
use crate::settings::Settings;
use crate::stop::Stop;

fn settings(folder: &Path, options: &[&str]) -> Settings {
    let path = folder.join("shop.tape");
    let own = std::process::id().to_string();
    let fixed = ["redtape-capture", "record", "--pid", &own, "-o", path.to_str().unwrap()];
    match Cli::parse_from(fixed.iter().chain(options)).command {
        Command::Record(args) => Settings::new(&args).unwrap(),
        _ => unreachable!("the subcommand is record"),
    }
}

fn tick(seconds: u64) -> Event<'static> {
    let time = MonoNanos::new(seconds * 1_000_000_000);
    Event { time, cpu: 0, seq: seconds, late: false, body: Body::Tick, ext: Ext::default() }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn ticks(path: &Path) -> usize {
    let mut source = TapeSource::new(Reader::open(File::open(path).unwrap()).unwrap());
    let mut count = 0;
    while let Some(event) = source.next_event().unwrap() {
        count += usize::from(event.body == Body::Tick);
    }
    assert!(source.reader().report().is_whole());
    count
}

#[test]
fn a_tape_has_its_name_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), &[]);
    let mut sink = TapeSink::create(&settings, Origin([3; 16]), "sk_data_ready", None, &Stop::default(), None).unwrap();
    sink.push(&tick(1)).unwrap();
    assert_eq!(names(folder.path()), ["shop.tape.part"]);
    sink.finish(EndReason::Signal).unwrap();
    assert_eq!(names(folder.path()), ["shop.tape"]);
    let path = folder.path().join("shop.tape");
    assert_eq!(ticks(&path), 1);
    assert_eq!(sink.bytes(), fs::metadata(&path).unwrap().len());
    let reader = Reader::open(File::open(&path).unwrap()).unwrap();
    assert_eq!((reader.meta().origin, reader.meta().arrival_hook.as_str()), (Origin([3; 16]), "sk_data_ready"));
    assert!(reader.meta().set.is_none() && reader.meta().cpus > 0);
}

#[test]
fn a_ring_keeps_the_last_files() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), &["--rotate-age", "10s", "--ring", "2"]);
    let mut sink = TapeSink::create(&settings, Origin([3; 16]), "", None, &Stop::default(), None).unwrap();
    for second in 0..35 {
        sink.push(&tick(second)).unwrap();
    }
    sink.finish(EndReason::Duration).unwrap();
    assert_eq!(names(folder.path()), ["shop.0002.tape", "shop.0003.tape"]);
    assert_eq!(ticks(&folder.path().join("shop.0002.tape")), 10);
    assert_eq!(ticks(&folder.path().join("shop.0003.tape")), 5);
}

#[test]
fn an_older_set_is_overwritten_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["shop.0000.tape", "shop.0007.tape", "shop.0008.tape.part", "shop.0009.txt", "shopping.0001.tape"] {
        File::create(folder.path().join(name)).unwrap();
    }
    let settings = settings(folder.path(), &["--rotate-age", "10s", "--force"]);
    let mut sink = TapeSink::create(&settings, Origin([3; 16]), "", None, &Stop::default(), None).unwrap();
    for second in 0..15 {
        sink.push(&tick(second)).unwrap();
    }
    sink.finish(EndReason::Duration).unwrap();
    assert_eq!(names(folder.path()), ["shop.0000.tape", "shop.0001.tape", "shop.0009.txt", "shopping.0001.tape"]);
}
