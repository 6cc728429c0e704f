//! What is no capture, or not all of one: said in one line, and what can be read is read.

use std::fs;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;
use redtape_tests::{Finished, Process, Result, binary, trial};
use tempfile::TempDir;

use crate::counts::LIMIT;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("bad_input::no_capture", &[], no_capture),
        trial("bad_input::nothing_to_import", &[], nothing),
        trial("bad_input::pcapng", &[], pcapng),
        trial("bad_input::scap_cut_anywhere", &[], cut),
        trial("bad_input::files", &[], files),
    ]
}

fn import(file: &Path, more: &[&str]) -> Result<Finished> {
    let folder = TempDir::new()?;
    let mut command = Command::new(binary("redtape")?);
    Process::run(command.arg("import").arg(file).arg("-o").arg(folder.path().join("x.tape")).args(more), LIMIT)
}

/// A pcap file of this link type with these packets.
fn pcap(link: u32, packets: &[&[u8]]) -> Vec<u8> {
    let mut file = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, link].map(u32::to_le_bytes).concat();
    for packet in packets {
        let len = u32::try_from(packet.len()).unwrap();
        file.extend([1_700_000_000, 0, len, len].map(u32::to_le_bytes).concat());
        file.extend(*packet);
    }
    file
}

#[track_caller]
fn check(finished: &Finished, code: i32, said: &str) {
    assert_eq!(finished.status.code(), Some(code), "{}", finished.stderr);
    assert!(finished.stderr.contains(said), "{} lacks {said}", finished.stderr);
}

fn no_capture() -> Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("file");
    for (bytes, said) in [
        (&b""[..], "the file is empty"),
        (b"hello", "is no capture that can be imported"),
        (&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0], "the header of the pcap file is cut off or damaged"),
        (&[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0], "the header of the pcapng file is cut off or damaged"),
        (&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xff, 0xff], "cannot be read: it cannot be decompressed"),
        (&[0x28, 0xb5, 0x2f, 0xfd, 4], "cannot be read: it cannot be decompressed"),
    ] {
        fs::write(&file, bytes)?;
        check(&import(&file, &[])?, 3, said);
    }
    check(&import(&folder.path().join("missing"), &[])?, 3, "missing: cannot be read: No such file");
    check(&import(folder.path(), &[])?, 3, "is a folder, not a capture");
    let tape = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/greetings-demo/greetings.tape");
    check(&import(Path::new(tape), &[])?, 3, "is a tape already");
    Ok(())
}

fn pcapng() -> Result<()> {
    /// A block with its length before and behind its body.
    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let len = (u32::try_from(body.len()).unwrap() + 12).to_le_bytes();
        [&kind.to_le_bytes(), &len, body, &len].concat()
    }
    let section = block(0x0a0d_0d0a, &[0x1a2b_3c4d, 1, u32::MAX, u32::MAX].map(u32::to_le_bytes).concat());
    let interface = block(1, &[1, 65_535].map(u32::to_le_bytes).concat());
    let option_too_long = block(1, &[1, 65_535, 0xffff_0009].map(u32::to_le_bytes).concat());
    let packet = block(6, &[0, 0, 0, 4, 4, 7_u32].map(u32::to_le_bytes).concat());
    let mut other_length = packet.clone();
    other_length[32] ^= 4;
    let folder = TempDir::new()?;
    let file = folder.path().join("file.pcapng");
    for (blocks, said) in [
        (vec![&packet], "malformed: 1 packet"),
        (vec![&option_too_long, &packet], "damaged: what follows is no packet"),
        (vec![&option_too_long, &packet], "everything before byte 28 was read"),
        (vec![&interface, &other_length, &packet], "everything before byte 48 was read"),
        (
            vec![&interface, &packet, &packet[..20].to_vec()],
            "truncated: the end is missing; everything before byte 84 was read",
        ),
    ] {
        fs::write(&file, [&section[..], &blocks.into_iter().flatten().copied().collect::<Vec<_>>()].concat())?;
        check(&import(&file, &[])?, 0, said);
    }
    Ok(())
}

fn nothing() -> Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("file.pcap");
    let arp = [&[0xff; 12][..], &[8, 6], &[0; 28]].concat();
    for (bytes, said) in [
        (pcap(1, &[]), "nothing to import of 0 packets: there are none"),
        (pcap(1, &[&arp]), "nothing to import of 1 packet: none is of a TCP connection"),
        (pcap(105, &[&arp, &arp]), "skipped, as link type 105 is not supported: 2 packets"),
        (pcap(1, &[&[1; 5]]), "malformed: 1 packet"),
        (pcap(101, &[&[0x45; 30]]), "malformed: 1 packet"),
    ] {
        fs::write(&file, bytes)?;
        check(&import(&file, &[])?, 0, said);
    }
    fs::write(&file, pcap(105, &[&arp, &arp]))?;
    check(
        &import(&file, &["--strict"])?,
        3,
        "nothing of 2 packets is used: skipped, as link type 105 is not supported",
    );
    let spec = folder.path().join("a.test.yaml");
    fs::write(&spec, "version: 1\npcap: file.pcap\nexpect: {spans: {count: 0}}\n")?;
    let tested = Process::run(Command::new(binary("redtape")?).arg("test").arg(&spec), LIMIT)?.expect_code(1)?;
    let said = "fails with exit code 3: ";
    assert!(tested.stdout.contains(said) && tested.stdout.contains("link type 105"), "{}", tested.stdout);
    fs::write(&file, &pcap(1, &[&arp])[..60])?;
    check(&import(&file, &[])?, 0, "truncated: the end is missing; everything before byte 24 was read");
    check(&import(&file, &["--strict"])?, 3, "truncated: the end is missing");
    Ok(())
}

fn cut() -> Result<()> {
    let whole = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/captures/calls.scap"))?;
    let folder = TempDir::new()?;
    let file = folder.path().join("cut.scap");
    for len in (300..whole.len()).step_by(1777) {
        fs::write(&file, &whole[..len])?;
        let finished = import(&file, &[])?;
        assert_eq!(finished.status.code(), Some(0), "{len} bytes: {}", finished.stderr);
    }
    Ok(())
}

fn files() -> Result<()> {
    let scap = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/captures/calls.scap"));
    let folder = TempDir::new()?;
    let tape = folder.path().join("calls.tape");
    let run = |more: &[&str]| -> Result<Finished> {
        let mut command = Command::new(binary("redtape")?);
        Process::run(command.arg("import").arg(scap).arg("-o").args(more), LIMIT)
    };
    let into = folder.path().display().to_string();
    check(&run(&[&into])?, 0, "32 connections");
    assert!(tape.exists(), "a folder gets a tape of the capture's name");
    check(&run(&[&into])?, 2, "exists already; --force overwrites it");
    let json = run(&[&into, "--force", "--quiet", "--json"])?;
    check(&json, 0, "");
    assert!(json.stderr.is_empty() && json.stdout.contains("\"format\":\"scap\""), "{}", json.stdout);
    let new = format!("{into}/new/");
    check(&run(&[&new])?, 0, "32 connections");
    assert!(folder.path().join("new/calls.tape").exists(), "a name that ends in `/` is a folder's");
    check(&run(&[&format!("{into}/no/such/")])?, 5, "no/such/: cannot be made: No such file or directory");
    check(&run(&["-", "--json"])?, 2, "`--output -` takes the tape of one file");
    Ok(())
}
