//! The tapes of `fixtures/tapes`, a folder a version of the format: one of every kind of block and event, and one of every
//! defect, with what a reader makes of them.
//!
//! While the format is 0.x, `cargo test -p redtape-tests --test tapes -- --ignored` makes those of this version anew, and
//! `UPDATE_EXPECT=1 cargo test -p redtape-tests --test tapes` rewrites what is expected. From 1.0 on, a tape that is there is never
//! written again, and neither is what it says: a newer version gets a folder of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod tapes {
    pub(crate) mod damage;
    pub(crate) mod future;
    pub(crate) mod make;
    pub(crate) mod raw;
}

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use redtape_core::Body;
use redtape_core::tape::{Block, BlockKind, ContentHasher, EventSource, FormatVersion, Merge, OpenError, Reader};
use redtape_tests::binary;
use tempfile::TempDir;

/// The folders of all versions.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tapes")
}

/// The folder of the version that this build writes.
fn folder() -> PathBuf {
    root().join(FormatVersion::CURRENT.to_string())
}

/// Writes a file. Where there is one already, that is done only while the format may change.
fn write(path: &Path, bytes: &[u8]) {
    if FormatVersion::CURRENT.is_settled() && path.exists() {
        assert!(fs::read(path).unwrap() == bytes, "{}: is committed, and never changes", path.display());
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The tapes of one version.
fn tapes_in(folder: &Path) -> Vec<PathBuf> {
    let mut tapes: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    tapes.retain(|path| path.extension().is_some_and(|extension| extension == "tape"));
    tapes.sort();
    tapes
}

/// What a reader makes of a tape, as text.
fn describe(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut reader = match Reader::open(bytes) {
        Ok(reader) => reader,
        // What this build reads is not said of a tape that stays.
        Err(OpenError::Version { tape, .. }) => return format!("refused: format {tape}\n"),
        Err(error) => return format!("refused: {error}\n"),
    };
    writeln!(text, "format {}", reader.version()).unwrap();
    writeln!(text, "tool {:?}, host {:?}, set {:?}", reader.meta().tool, reader.meta().host, reader.meta().set)
        .unwrap();
    let (mut block, mut hasher, mut malformed) = (Block::default(), ContentHasher::new(), 0);
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
        let mut events = block.events();
        // What an ENRICH block says stands there already.
        for event in events.by_ref().filter(|event| !matches!(event.body, Body::Enrich(_))) {
            writeln!(text, "  {}", line(&event)).unwrap();
        }
        malformed += events.malformed();
        hasher.push_block(&block);
    }
    let report = reader.report();
    writeln!(text, "truncated {}, corrupt {}, ", report.truncated, report.corrupt_blocks).unwrap();
    writeln!(text, "skipped {} B, missing {}", report.skipped_bytes, report.missing_blocks).unwrap();
    writeln!(text, "unknown {} blocks, {} events", report.unknown_blocks, report.unknown_records).unwrap();
    writeln!(text, "events {}, missing {}, malformed {malformed}", report.events, report.missing_events()).unwrap();
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
        Body::Connection(info) => {
            format!("connection {} of {:?}, {:?}, {:?}", info.id, info.role, info.endpoint, info.tls)
        }
        Body::Process(info) => format!("process {} {}", info.id, info.comm),
        Body::Shutdown { how, .. } => format!("shutdown of {how:?}"),
        Body::TlsTie { carrier, rule, .. } => format!("tls tie to {carrier} by {}", rule.name()),
        Body::Data(data) => {
            let pieces: Vec<_> = data.ranges.iter().map(|(at, bytes)| (at, String::from_utf8_lossy(bytes))).collect();
            format!("data: {} {:?} {} at {}: {pieces:?}", data.source.name(), data.direction, data.len, data.pos)
        }
        body => {
            let text = format!("{body:?}");
            text.split([' ', '(']).next().unwrap_or_default().to_lowercase()
        }
    };
    let late = if event.late { " late" } else { "" };
    let ext = match event.body {
        Body::Connection(info) => info.ext.as_bytes(),
        Body::Process(info) => info.ext.as_bytes(),
        _ => event.ext.0,
    };
    let ext = if ext.is_empty() { String::new() } else { format!(" ext {ext:?}") };
    format!("{} cpu {} seq {}{late} {what}{ext}", event.time, event.cpu, event.seq)
}

#[test]
fn every_tape_is_read_as_expected() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut folders: Vec<_> = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    assert!(folders.contains(&folder()), "{}: has no tapes yet; make them, see above", folder().display());
    for path in folders.iter().flat_map(|folder| tapes_in(folder)) {
        let found = describe(&fs::read(&path).unwrap());
        let expected = path.with_extension("txt");
        if update && expected.starts_with(folder()) {
            write(&expected, found.as_bytes());
        }
        let expected = fs::read_to_string(&expected).unwrap();
        assert_eq!(found, expected, "{}: see above where this is right", path.display());
    }
}

/// The writer of this version writes what it wrote when the version was made.
#[test]
fn the_tapes_are_still_made_the_same() {
    let made = make::all();
    assert_eq!(tapes_in(&folder()).len(), made.len(), "each tape has its maker");
    for (name, bytes) in made {
        let committed = fs::read(folder().join(name)).unwrap();
        // Another version of the compressor may find other bytes for the same content.
        let compressed = matches!(name, "compressed.tape" | "bad-zstd.tape");
        assert!(compressed || committed == bytes, "{name}: the format has changed, but not its version");
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
#[ignore = "makes the tapes of this version"]
fn make_the_tapes() {
    for (name, bytes) in make::all() {
        write(&folder().join(name), &bytes);
    }
}

use tapes::make;
