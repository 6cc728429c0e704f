//! What a tape says is text, whatever it looks like.

use libtest_mimic::Trial;
use redtape_core::{
    Body, BodyBuf, ConnInfo, ConnKey, Data, Direction, Endpoint, EntryExt, EventBuf, MonoNanos, Origin, ProcKey,
    ProcessInfo, Ranges, RangesBuf, Role, Source, Stamp, Tgid,
};
use redtape_tests::{Result, trial, visit};
use tempfile::TempDir;

use super::{BROWSER, report, tapes};

const SERVICE: &str = "</script><img src=x onerror=alert(1)><!--";
const PATH: &str = "/</script><script>alert(2)</script>/&lt;b&gt;/{{script}}";
const AGENT: &str = "\"><svg/onload=alert(3)> \u{2028} </textarea>]]>";

pub(super) fn trials() -> Vec<Trial> {
    vec![trial("hostile_names_stay_text", &BROWSER, names)]
}

fn names() -> Result<()> {
    let folder = TempDir::new()?;
    let config = folder.path().join("config.yml");
    std::fs::write(&config, "routes: {unmatched: path}\n")?;
    let tape = tapes::write(
        folder.path(),
        events().into_iter().enumerate().map(|(n, body)| EventBuf {
            seq: n as u64,
            ..EventBuf::new(MonoNanos::new(1_000_000_000 + n as u64 * 1_000_000), body)
        }),
    )?;
    let page = report(folder.path(), &tape, &["--config", config.to_str().unwrap()])?;
    let seen = visit(&page, "hostile")?;
    super::walk::sound(&seen);
    let red = seen.red.expect("there is a RED table");
    assert_eq!((red[0]["Service"].text.as_str(), red[0]["Route"].text.as_str()), (SERVICE, PATH));
    let attributes = seen.keyboard["attributes"].as_str().unwrap();
    assert!(attributes.contains(AGENT), "{attributes}");
    let html = std::fs::read_to_string(page)?;
    assert_eq!(html.matches("<script").count(), 3, "data, charts and the page's own");
    assert!(!html.contains("alert(2)</script>") && !html.contains("<img") && !html.contains("<svg/"));
    Ok(())
}

/// One request and its response.
fn events() -> Vec<BodyBuf> {
    let origin = Origin(*b"a hostile origin");
    let (conn, process) = (ConnKey::new(origin, 1), ProcKey::new(origin, 1));
    let data = |direction, text: String| {
        let source = if direction == Direction::In { Source::Read } else { Source::Write };
        let len = text.len() as u64;
        let data = Data {
            conn,
            process,
            stamp: Stamp::default(),
            direction,
            source,
            pos: 0,
            len,
            arrived: None,
            ranges: Ranges::EMPTY,
        };
        BodyBuf::Data(data, RangesBuf::prefix(text.into_bytes()))
    };
    vec![
        BodyBuf::Process(Box::new(ProcessInfo {
            key: process,
            origin,
            id: 1,
            tgid: Tgid(7),
            comm: SERVICE.into(),
            env: vec![("OTEL_SERVICE_NAME".into(), SERVICE.into())],
            ..ProcessInfo::default()
        })),
        BodyBuf::Connection(Box::new(ConnInfo {
            key: conn,
            origin,
            id: 1,
            process,
            role: Role::Server,
            endpoint: Some(Endpoint { local: ([192, 0, 2, 1], 80).into(), remote: ([192, 0, 2, 2], 50_000).into() }),
            netns: 1,
            isn_local: Some(1),
            isn_remote: Some(2),
            established: Some(MonoNanos::new(1)),
            preexisting: false,
            first_in: 0,
            first_out: 0,
            tls: None,
            ext: EntryExt::default(),
        })),
        data(Direction::In, format!("GET {PATH} HTTP/1.1\r\nhost: <b>\r\nuser-agent: {AGENT}\r\n\r\n")),
        data(Direction::Out, "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_owned()),
        BodyBuf::Plain(Body::Close { conn }),
    ]
}
