//! The tapes of `fixtures/tapes`: one of every kind of block, and one of every defect, with what a reader makes of them.
//!
//! `UPDATE_EXPECT=1 cargo test -p redtape-tests --test tapes` rewrites what is expected;
//! `cargo test -p redtape-tests --test tapes -- --ignored` makes the tapes themselves anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod tapes {
    pub(crate) mod make;
}

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use redtape_core::Body;
use redtape_core::tape::{Block, BlockKind, ContentHasher, EventSource, Merge, Reader};
use redtape_tests::binary;
use tempfile::TempDir;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tapes")
}

/// What a reader makes of a tape, as text.
fn describe(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut reader = match Reader::open(bytes) {
        Ok(reader) => reader,
        Err(error) => return format!("refused: {error}\n"),
    };
    writeln!(text, "format {}", reader.version()).unwrap();
    writeln!(text, "tool {:?}, host {:?}, set {:?}", reader.meta().tool, reader.meta().host, reader.meta().set)
        .unwrap();
    let (mut block, mut hasher) = (Block::default(), ContentHasher::new());
    loop {
        match reader.read_block(&mut block) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                writeln!(text, "refused: {error}").unwrap();
                return text;
            }
        }
        writeln!(text, "{:?}, {} records", block.kind(), block.records()).unwrap();
        if matches!(block.kind(), BlockKind::Note | BlockKind::Enrich) {
            writeln!(text, "  {:?}", block.annotation()).unwrap();
        }
        for event in block.events() {
            writeln!(text, "  {}", line(&event)).unwrap();
        }
        hasher.push_block(&block);
    }
    let report = reader.report();
    writeln!(text, "truncated {}, corrupt {}, ", report.truncated, report.corrupt_blocks).unwrap();
    writeln!(text, "skipped {} B, missing {}", report.skipped_bytes, report.missing_blocks).unwrap();
    writeln!(
        text,
        "unknown {}, events {}, missing events {}",
        report.unknown_blocks,
        report.events,
        report.missing_events()
    )
    .unwrap();
    match report.totals {
        Some(totals) => {
            writeln!(text, "closed: {}, {} events, {} lost", totals.reason.name(), totals.events, totals.lost).unwrap();
            let same = if totals.content_hash == hasher.finish() { "as written" } else { "not as written" };
            writeln!(text, "content {same}").unwrap();
        }
        None => writeln!(text, "not closed").unwrap(),
    }
    writeln!(text, "content hash {}", hasher.finish()).unwrap();
    text
}

/// An event in short. What is left out here is in the content hash.
fn line(event: &redtape_core::Event<'_>) -> String {
    let what = match event.body {
        Body::Loss(loss) => format!("loss: {} {}, {} to {}", loss.count, loss.cause.name(), loss.from, loss.to),
        Body::Connection(info) => format!("connection {} of {:?}", info.id, info.role),
        Body::Process(info) => format!("process {} {}", info.id, info.comm),
        Body::Data(data) => {
            let pieces: Vec<_> = data.ranges.iter().map(|(at, bytes)| (at, String::from_utf8_lossy(bytes))).collect();
            format!("data: {} {:?} {} at {}: {pieces:?}", data.source.name(), data.direction, data.len, data.pos)
        }
        body => {
            let text = format!("{body:?}");
            text.split([' ', '(']).next().unwrap_or_default().to_lowercase()
        }
    };
    format!("{} cpu {} seq {}{} {what}", event.time, event.cpu, event.seq, if event.late { " late" } else { "" })
}

#[test]
fn every_tape_is_read_as_expected() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut tapes: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    tapes.retain(|path| path.extension().is_some_and(|extension| extension == "tape"));
    tapes.sort();
    assert_eq!(tapes.len(), make::all().len(), "each tape has its maker");
    for path in tapes {
        let found = describe(&fs::read(&path).unwrap());
        let expected = path.with_extension("txt");
        if update {
            fs::write(&expected, &found).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap();
        assert_eq!(found, expected, "{}: if this is right, run again with UPDATE_EXPECT=1", path.display());
    }
}

#[test]
fn a_set_with_a_missing_file_says_so() {
    let files = ["set-2.tape", "set-0.tape"].map(|name| fs::read(folder().join(name)).unwrap());
    let mut merge = Merge::new(files.iter().map(|file| Reader::open(&file[..]).unwrap())).unwrap();
    let gaps: Vec<_> = merge.gaps().iter().map(|gap| (gap.from, gap.to)).collect();
    assert_eq!(gaps, [(1, 1)]);
    let mut losses = Vec::new();
    while let Some(event) = merge.next_event().unwrap() {
        if let Body::Loss(loss) = event.body {
            losses.push((loss.cause.name(), loss.count));
        }
    }
    assert_eq!(losses, [("corrupt", 0)]);
}

#[test]
fn threads_agree_on_tapes_that_are_not_as_they_should_be() {
    let folder = TempDir::new().unwrap();
    let run = |jobs: &str, format: &[&str]| {
        let mut command = Command::new(binary("redtape").unwrap());
        let output =
            command.args(["replay", "tape", "--jobs", jobs]).args(format).current_dir(&folder).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    for (what, tape) in make::misleading() {
        fs::write(folder.path().join("tape"), tape).unwrap();
        for format in [&[][..], &["--spans", "text"]] {
            assert_eq!(run("3", format), run("1", format), "{what}");
        }
    }
}

#[test]
#[ignore = "rewrites the tapes of fixtures/tapes"]
fn make_the_tapes() {
    for (name, bytes) in make::all() {
        fs::write(folder().join(name), bytes).unwrap();
    }
}

use tapes::make;
