//! Captures made packet by packet: what networks do to packets, and TCP to segments, changes no count.
//!
//! Of each it is known what is in it; tshark is asked, too, where there is one.

use std::process::Command;

use libtest_mimic::Trial;
use redtape_tests::{Process, Requirement, Result, binary, spans, trial};
use tempfile::TempDir;

use crate::counts::{LIMIT, Totals, ours, tsharks};
use crate::wire::{Flag, Ip, Link, Talk, fragments, write};

/// A capture and what is in it.
struct Case {
    name: &'static str,
    link: Link,
    packets: Vec<Vec<u8>>,
    totals: Totals,
    /// What `import --json` says.
    said: Said,
    /// What tshark makes of it, where that differs.
    tsharks: Option<Totals>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
struct Said {
    connections: u64,
    tls_connections: u64,
    retransmitted: u64,
    holes: u64,
}

const ONE: Said = Said { connections: 1, tls_connections: 0, retransmitted: 0, holes: 0 };

/// What [`three`] calls come to.
const THREE: Totals = Totals { requests: 3, responses: 3, errors: 1 };

const ISN: [u32; 2] = [1_000_000, 2_000_000];

pub(crate) fn trials() -> Vec<Trial> {
    let own = trial("made::counts", &[], || {
        all(|case, file| {
            let (ours, said) = (ours(file)?, import(file)?);
            assert_eq!((ours, said), (case.totals, case.said), "{}", case.name);
            Ok(())
        })
    });
    let tsharks = trial("made::tshark_counts_the_same", &[Requirement::Program("tshark")], || {
        all(|case, file| {
            assert_eq!(tsharks(file, &[])?, case.tsharks.unwrap_or(case.totals), "{}", case.name);
            Ok(())
        })
    });
    vec![own, tsharks, trial("made::no_span_across_connections", &[], apart)]
}

fn all(check: impl Fn(&Case, &std::path::Path) -> Result<()>) -> Result<()> {
    let folder = TempDir::new()?;
    for case in [links(), fragmented(), segments(), connections()].concat_cases() {
        check(&case, &write(folder.path(), case.link, &case.packets)?)?;
    }
    Ok(())
}

trait ConcatCases {
    fn concat_cases(self) -> Vec<Case>;
}

impl<const N: usize> ConcatCases for [Vec<Case>; N] {
    fn concat_cases(self) -> Vec<Case> {
        self.into_iter().flatten().collect()
    }
}

fn import(file: &std::path::Path) -> Result<Said> {
    let mut command = Command::new(binary("redtape")?);
    command.args(["import", "--json", "--quiet", "--force"]).arg(file).arg("-o").arg(file.with_extension("tape"));
    Ok(serde_json::from_str(&Process::run(&mut command, LIMIT)?.expect_code(0)?.stdout)?)
}

fn case(name: &'static str, packets: Vec<Vec<u8>>, said: Said) -> Case {
    Case { name, link: Link::Ethernet, packets, totals: THREE, said, tsharks: None }
}

/// A connection with three calls, of which the second fails.
fn three(ip: Ip, isn: [u32; 2], padding: usize) -> Vec<Vec<u8>> {
    let mut talk = Talk::open(ip, 40_000, isn);
    [200, 503, 404].into_iter().for_each(|status| talk.call(status, padding));
    talk.close();
    talk.packets
}

fn links() -> Vec<Case> {
    let links = [
        ("Ethernet", Link::Ethernet),
        ("VLAN", Link::Vlan(1)),
        ("QinQ", Link::Vlan(2)),
        ("NULL", Link::Null),
        ("LOOP", Link::Loop),
        ("RAW", Link::Raw),
        ("RAW of a version", Link::RawOfVersion),
    ];
    let of = |ip| links.map(|(name, link)| Case { link, ..case(name, three(ip, ISN, 0), ONE) });
    [Ip::V4, Ip::V6, Ip::V6Extended].into_iter().flat_map(of).collect()
}

fn fragmented() -> Vec<Case> {
    let mut cases = Vec::new();
    for ip in [Ip::V4, Ip::V6] {
        let whole = three(ip, ISN, 3000);
        // The second request is a packet of six fragments.
        let at = 5;
        let (before, after) = (&whole[..at], &whole[at + 1..]);
        let parts = fragments(&whole[at], 77, 512);
        assert_eq!(parts.len(), 6);
        let with = |parts: &[Vec<u8>]| [before, parts, after].concat();
        cases.push(case("fragments", with(&parts), ONE));
        cases.push(case("fragments, the last one first", with(&parts.iter().rev().cloned().collect::<Vec<_>>()), ONE));
        let doubled: Vec<_> = parts.iter().flat_map(|part| [part.clone(), part.clone()]).collect();
        cases.push(case("fragments, twice each", with(&doubled), ONE));
        let mixed: Vec<_> = whole
            .iter()
            .enumerate()
            .flat_map(|(at, packet)| fragments(packet, u16::try_from(at).unwrap(), 256).into_iter().rev())
            .collect();
        cases.push(case("every packet in fragments", mixed, ONE));
        // Nobody knows what the response is of whose request lacks a part.
        let lacking = [&parts[..2], &parts[3..]].concat();
        cases.push(Case {
            totals: Totals { requests: 2, responses: 2, errors: 0 },
            tsharks: Some(Totals { requests: 2, responses: 3, errors: 1 }),
            ..case("a fragment is missing", with(&lacking), Said { holes: 1, ..ONE })
        });
    }
    cases
}

fn segments() -> Vec<Case> {
    let mut cases = Vec::new();
    for isn in [[u32::MAX - 100, u32::MAX], [u32::MAX - 1, u32::MAX - 20], [u32::MAX - 3000, 0]] {
        cases.push(case("sequence numbers wrap around", three(Ip::V4, isn, 1000), ONE));
    }
    let mut again = three(Ip::V4, ISN, 0);
    again.insert(1, again[0].clone());
    again.insert(3, again[2].clone());
    cases.push(case("SYN and its answer once more", again, ONE));
    for (name, byte, retransmitted) in [("bare keep-alive", &b""[..], 0), ("keep-alive with a byte", b"\0", 4)] {
        let mut talk = Talk::open(Ip::V4, 40_000, ISN);
        for status in [200, 503, 404] {
            talk.call(status, 0);
            if status != 404 {
                for from in [0, 1] {
                    talk.segment_at(from, talk.next[from].wrapping_sub(1), Flag::None, byte);
                    talk.segment(1 - from, Flag::None, b"");
                }
            }
        }
        talk.close();
        cases.push(case(name, talk.packets, Said { retransmitted, ..ONE }));
    }
    let mut talk = Talk::open(Ip::V4, 40_000, ISN);
    [200, 503, 404].into_iter().for_each(|status| talk.call(status, 0));
    talk.segment(0, Flag::Rst, b"");
    talk.segment(0, Flag::Rst, b"");
    cases.push(case("RST", talk.packets, ONE));
    let mut talk = Talk::open(Ip::V4, 40_000, ISN);
    talk.call(200, 0);
    talk.segment(0, Flag::None, b"GET /never HTTP/1.1\r\nHost: shop\r\n\r\n");
    talk.segment(1, Flag::Rst, b"");
    let totals = Totals { requests: 2, responses: 1, errors: 0 };
    cases.push(Case { totals, ..case("RST instead of a response", talk.packets, ONE) });
    let mut talk = Talk::open(Ip::V4, 40_000, ISN);
    talk.packets.pop();
    talk.packets.pop();
    talk.segment(1, Flag::Rst, b"");
    let none = Totals { requests: 0, responses: 0, errors: 0 };
    cases.push(Case { totals: none, ..case("refused", talk.packets, Said { connections: 0, ..ONE }) });
    cases
}

fn connections() -> Vec<Case> {
    let mut cases = Vec::new();
    let twice = Said { connections: 2, ..ONE };
    let mut first = Talk::open(Ip::V4, 40_000, ISN);
    first.call(200, 0);
    first.call(503, 0);
    let mut second = Talk::open(Ip::V4, 40_000, [7, 9]);
    second.call(404, 0);
    second.close();
    cases.push(case("a port used again", [first.packets.clone(), second.packets.clone()].concat(), twice));
    first.close();
    cases.push(case("a port used again after its end", [first.packets, second.packets].concat(), twice));
    let mut talk = Talk::open(Ip::V4, 40_000, ISN);
    talk.segment(0, Flag::None, &[&[22, 3, 1, 1, 0][..], &[1; 256]].concat());
    talk.segment(1, Flag::None, &[&[22, 3, 3, 0, 100][..], &[2; 100]].concat());
    talk.segment(0, Flag::None, &[&[23, 3, 3, 0, 50][..], &[0x9c; 50]].concat());
    talk.close();
    let totals = Totals::default();
    cases.push(Case { totals, ..case("TLS", talk.packets, Said { tls_connections: 1, ..ONE }) });
    cases
}

/// A request without a response, a new connection with the same addresses, and a response there.
fn apart() -> Result<()> {
    let folder = TempDir::new()?;
    let mut first = Talk::open(Ip::V4, 40_000, ISN);
    first.segment(0, Flag::None, b"GET /first HTTP/1.1\r\nHost: shop\r\n\r\n");
    let mut second = Talk::open(Ip::V4, 40_000, [ISN[0] + 5000, ISN[1] + 5000]);
    second.segment(0, Flag::None, b"GET /second HTTP/1.1\r\nHost: shop\r\n\r\n");
    second.respond(200);
    second.close();
    let file = write(folder.path(), Link::Raw, &[first.packets, second.packets].concat())?;
    let spans = spans(&file, &["--quiet"])?;
    let mut told: Vec<_> = spans.iter().map(|span| (span.path(), span.status_code())).collect();
    told.sort();
    let told: Vec<_> = told.iter().map(|(path, status)| (path.as_str(), status.as_str())).collect();
    assert_eq!(told, [("/first", ""), ("/second", "200")]);
    Ok(())
}
