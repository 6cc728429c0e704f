//! Captured traffic: redtape counts what tshark counts, whatever has happened to the packets.

use std::fs;

use libtest_mimic::Trial;
use redtape_tests::{Requirement, Result, Server, trial};

use crate::capture::{Capture, payload_len, traffic};
use crate::counts::{Totals, compare, ours, tsharks};

const NEEDS: &[Requirement] = &[
    Requirement::Root,
    Requirement::Program("tcpdump"),
    Requirement::Program("tshark"),
    Requirement::Program("editcap"),
    Requirement::Program("nginx"),
    Requirement::Program("curl"),
];

/// What is asked of each server.
const ALL: Totals = Totals { requests: 120, responses: 120, errors: 0 };

/// Lets tshark tell of responses whose bodies are not all there, as redtape does.
const HEADS: &[&str] = &["-o", "http.desegment_body:FALSE"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("imports::http1", NEEDS, || {
            let capture = plain(&["-i", "lo"])?;
            assert_eq!(compare("as captured", &capture.file, &[])?, ALL);
            Ok(())
        }),
        trial("imports::mangled", NEEDS, mangled),
        trial("imports::cut", NEEDS, cut),
        trial("imports::snapped", NEEDS, || {
            // Heads are whole, bodies are not.
            let capture = plain(&["-i", "lo", "-s", "400"])?;
            assert_eq!(compare("-s 400", &capture.file, HEADS)?, ALL);
            // Nor are heads, but where they begin can be told.
            let capture = plain(&["-i", "lo", "-s", "120"])?;
            assert_eq!(ours(&capture.file)?.requests, ALL.requests);
            Ok(())
        }),
        trial("imports::link_types", NEEDS, || {
            for link in ["LINUX_SLL", "LINUX_SLL2"] {
                let capture = plain(&["-i", "any", "-y", link])?;
                assert_eq!(compare(link, &capture.file, &[])?, ALL);
            }
            Ok(())
        }),
        trial("imports::http2", NEEDS, || {
            let server = Server::nginx_with_http2()?;
            let capture = traffic(&server, &["--http2-prior-knowledge"], &["-i", "lo"])?;
            let decode = format!("tcp.port=={},http2", capture.port);
            assert_eq!(compare("h2c", &capture.file, &["-d", &decode])?, ALL);
            Ok(())
        }),
        trial("imports::forms", NEEDS, forms),
    ]
}

/// HTTP/1.1 with an nginx.
fn plain(tcpdump: &[&str]) -> Result<Capture> {
    traffic(&Server::nginx()?, &[], tcpdump)
}

fn mangled() -> Result<()> {
    let capture = plain(&["-i", "lo"])?;
    let doubled = capture.mangled("doubled.pcap", |records| {
        *records = records.iter().flat_map(|record| [record.clone(), record.clone()]).collect();
    })?;
    assert_eq!(compare("doubled", &doubled, &[])?, ALL);
    let bare = capture.mangled("bare.pcap", |records| records.retain(|record| payload_len(record) > 0))?;
    assert_eq!(compare("without anything but payload", &bare, &[])?, ALL);
    // Windows of packets the other way round: tshark is no measure for that, but it has said what there is.
    for width in [2, 3, 7, 20] {
        let shuffled = capture.mangled("shuffled.pcap", |records| {
            // The handshakes stay: a response before the SYN that it answers is of another connection.
            records
                .chunks_mut(width)
                .filter(|chunk| chunk.iter().all(|record| payload_len(record) > 0))
                .for_each(<[_]>::reverse);
        })?;
        assert_eq!(ours(&shuffled)?, ALL, "windows of {width}");
    }
    // Without every fifth packet that has a payload, what is left is right.
    for offset in 0..5 {
        let mut at = offset;
        let dropped = capture.mangled("dropped.pcap", |records| {
            records.retain(|record| {
                at += usize::from(payload_len(record) > 0);
                payload_len(record) == 0 || at % 5 != 0
            });
        })?;
        let ours = ours(&dropped)?;
        assert!(ours.requests >= 80 && ours.requests <= 120 && ours.responses <= ours.requests, "{ours:?}");
    }
    Ok(())
}

fn cut() -> Result<()> {
    let capture = plain(&["-i", "lo"])?;
    let bytes = fs::read(&capture.file)?;
    for tenth in 1..10 {
        let file = capture.folder.path().join("cut.pcap");
        fs::write(&file, &bytes[..bytes.len() * tenth / 10])?;
        let (ours, tsharks) = (ours(&file)?, tsharks(&file, &[])?);
        // Of a response whose body is cut off tshark tells nothing.
        let responses = [tsharks.responses, tsharks.responses + 1];
        assert_eq!(ours.requests, tsharks.requests, "{tenth} tenths");
        assert!(responses.contains(&ours.responses), "{tenth} tenths: {ours:?}, {tsharks:?}");
    }
    Ok(())
}

/// The same packets in other files.
fn forms() -> Result<()> {
    let capture = plain(&["-i", "lo"])?;
    for (name, options) in [
        ("nanoseconds.pcap", &["-F", "nsecpcap"][..]),
        ("packets.pcapng", &["-F", "pcapng"]),
        ("modified.pcapng", &["-F", "pcapng", "-t", "3600.5"]),
    ] {
        assert_eq!(compare(name, &capture.edited(name, options)?, &[])?, ALL);
    }
    let bytes = fs::read(&capture.file)?;
    let zstd = capture.folder.path().join("traffic.pcap.zst");
    fs::write(&zstd, zstd::encode_all(&bytes[..], 1)?)?;
    assert_eq!(ours(&zstd)?, ALL);
    Ok(())
}
