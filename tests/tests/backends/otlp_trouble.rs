//! Receivers that are down, slow, busy or not to be trusted: everything is told with counts, nothing is lost in silence.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use libtest_mimic::Trial;
use redtape_tests::{DeadPort, Process, Requirement, Result, Scripted, Signal, certificate, trial};
use tempfile::TempDir;

use super::otlp::{redtape, run};

const PYTHON: &[Requirement] = &[Requirement::Tool("python")];
const TLS: &[Requirement] = &[Requirement::Tool("python"), Requirement::Program("openssl")];
/// Spans of the tape, their phases included.
const SPANS: u64 = 2560;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("otlp_trouble::nobody_is_there", &[], nobody_is_there),
        trial("otlp_trouble::what_is_no_url", &[], what_is_no_url),
        trial("otlp_trouble::busy_for_a_while", PYTHON, busy_for_a_while),
        trial("otlp_trouble::refused_for_good", PYTHON, refused_for_good),
        trial("otlp_trouble::some_are_rejected", PYTHON, some_are_rejected),
        trial("otlp_trouble::too_slow", PYTHON, too_slow),
        trial("otlp_trouble::a_dead_connection", PYTHON, a_dead_connection),
        trial("otlp_trouble::the_other_protocol", PYTHON, the_other_protocol),
        trial("otlp_trouble::tls", TLS, tls),
        trial("otlp_trouble::mistakes_with_tls", TLS, mistakes_with_tls),
        trial("otlp_trouble::mistakes_with_files", &[Requirement::Program("openssl")], mistakes_with_files),
        trial("otlp_trouble::hangs_up", &[], hangs_up),
        trial("otlp_trouble::interrupted", &[], interrupted),
    ]
}

fn nobody_is_there() -> Result<()> {
    let dead = DeadPort::new()?;
    let port = dead.number()?;
    let url = format!("http://127.0.0.1:{port}");
    for protocol in ["grpc", "http/protobuf"] {
        let finished = run(&["--otlp", &url, "--otlp-protocol", protocol, "--otlp-retry", "700ms"], 5)?;
        let error = finished.stderr;
        assert!(error.contains(&format!("{SPANS} of {SPANS} spans to {url}")), "{protocol}: {error}");
        assert!(error.contains("points of metrics") && error.contains("Connection refused"), "{protocol}: {error}");
        assert!(error.contains("trying again for 700ms"), "{protocol}: {error}");
    }
    let error = run(&["--otlp", &format!("http://user:secret@127.0.0.1:{port}"), "--otlp-retry", "300ms"], 5)?.stderr;
    assert!(error.contains(&format!("spans to http://127.0.0.1:{port}")) && !error.contains("secret"), "{error}");
    Ok(())
}

fn what_is_no_url() -> Result<()> {
    for (arguments, says) in [
        (&["--otlp", "localhost:4317"][..], "http://localhost:4317"),
        (&["--otlp", "a.tape"], "this is a tape, not a URL: write tapes before this flag"),
        (&["--otlp-compression", "lz4"], "expected one of `none`, `gzip`"),
        (&["--otlp-traces", "ftp://localhost"], "--otlp-traces"),
        (&["--otlp", "http://localhost:1", "--otlp-header", "x"], "KEY=VALUE"),
        (&["--otlp", "http://localhost:1", "--otlp-certificate", "/none.pem"], "/none.pem"),
        (&["--otlp", "http://localhost:1", "--otlp-protocol", "thrift"], "http/protobuf"),
    ] {
        let error = run(arguments, 2)?.stderr;
        assert!(error.contains(says), "{arguments:?}: {error}");
    }
    Ok(())
}

fn busy_for_a_while() -> Result<()> {
    let http = Scripted::start(&["http", "503,429/1,reset,502,ok"], None)?;
    run(&["--otlp-traces", &format!("http://127.0.0.1:{}", http.port())], 0)?;
    let answers = http.answers();
    assert!(["503", "429/1", "reset", "502"].iter().all(|answer| answers.get(*answer) == Some(&1)), "{answers:?}");
    let grpc = Scripted::start(&["grpc", "UNAVAILABLE,ABORTED,ok"], None)?;
    let url = format!("http://127.0.0.1:{}", grpc.port());
    run(&["--otlp", &url, "--otlp-protocol", "grpc"], 0)?;
    let answers = grpc.answers();
    assert!(answers["UNAVAILABLE"] == 1 && answers["ABORTED"] == 1 && answers["ok"] >= 5, "{answers:?}");
    Ok(())
}

fn refused_for_good() -> Result<()> {
    for (kind, answer, says) in [
        ("http", "404", "404 Not Found"),
        ("http", "401", "401"),
        ("grpc", "INVALID_ARGUMENT", "InvalidArgument: as told"),
    ] {
        let receiver = Scripted::start(&[kind, answer], None)?;
        let protocol = if kind == "grpc" { "grpc" } else { "http/protobuf" };
        let url = format!("http://127.0.0.1:{}", receiver.port());
        let error = run(&["--otlp-traces", &url, "--otlp-protocol", protocol], 5)?.stderr;
        assert!(error.contains(&format!("{SPANS} of {SPANS} spans")) && error.contains(says), "{answer}: {error}");
        assert!(!error.contains("trying again"), "{answer}: {error}");
    }
    Ok(())
}

fn some_are_rejected() -> Result<()> {
    for kind in ["http", "grpc"] {
        let receiver = Scripted::start(&[kind, "reject,ok"], None)?;
        let protocol = if kind == "grpc" { "grpc" } else { "http/protobuf" };
        let url = format!("http://127.0.0.1:{}", receiver.port());
        let error = run(&["--otlp-traces", &url, "--otlp-protocol", protocol], 5)?.stderr;
        assert!(error.contains(&format!("3 of {SPANS} spans")) && error.contains("too old"), "{kind}: {error}");
    }
    Ok(())
}

fn too_slow() -> Result<()> {
    let receiver = Scripted::start(&["http", "slow"], None)?;
    let url = format!("http://127.0.0.1:{}", receiver.port());
    let error = run(&["--otlp-traces", &url, "--otlp-timeout", "300ms", "--otlp-retry", "1s"], 5)?.stderr;
    assert!(error.contains(&format!("{SPANS} of {SPANS} spans")), "{error}");
    assert!(error.contains("no answer within 300ms"), "{error}");
    Ok(())
}

/// The first connection leads to nobody, and is never closed; further ones lead to the receiver.
fn a_dead_connection() -> Result<()> {
    for protocol in ["grpc", "http/protobuf"] {
        let receiver = Scripted::start(&[protocol.split('/').next().unwrap_or_default(), "ok"], None)?;
        let (listener, to) = (TcpListener::bind("127.0.0.1:0")?, receiver.port());
        let url = format!("http://{}", listener.local_addr()?);
        thread::spawn(move || {
            let _dead = listener.accept();
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { return };
                let Some((near_too, far_too)) = near.try_clone().ok().zip(far.try_clone().ok()) else { return };
                for (mut from, mut to) in [(near, far), (far_too, near_too)] {
                    thread::spawn(move || {
                        // Whoever closes it first.
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
            }
        });
        let arguments =
            ["--otlp-traces", &url, "--otlp-protocol", protocol, "--otlp-timeout", "1s", "--otlp-retry", "5s"];
        run(&arguments, 0)?;
        assert!(receiver.answers().contains_key("ok"), "{protocol}");
    }
    Ok(())
}

fn tls() -> Result<()> {
    let folder = TempDir::new()?;
    certificate(folder.path())?;
    let file = |name: &str| folder.path().join(name).to_str().map(str::to_owned).unwrap();
    let (cert, key) = (file("cert.pem"), file("key.pem"));
    for kind in ["http", "grpc"] {
        let receiver = Scripted::start(&[kind, "ok"], Some(folder.path()))?;
        let protocol = if kind == "grpc" { "grpc" } else { "http/protobuf" };
        let url = format!("https://127.0.0.1:{}", receiver.port());
        let to = ["--otlp", &url, "--otlp-protocol", protocol];
        run(&[&to[..], &["--otlp-certificate", &cert]].concat(), 0)?;
        run(&[&to[..], &["--otlp-insecure-skip-verify"]].concat(), 0)?;
        // Trying again does not mend a certificate.
        let error = run(&to, 5)?.stderr;
        assert!(
            error.contains(&format!("{SPANS} of {SPANS} spans")) && error.contains("certificate"),
            "{kind}: {error}"
        );
        assert!(!error.contains("trying again"), "{kind}: {error}");
        // Nor does plain text to a receiver that wants TLS.
        let plain = url.replace("https", "http");
        let error = run(&["--otlp", &plain, "--otlp-protocol", protocol, "--otlp-retry", "100ms"], 5)?.stderr;
        assert!(error.contains("did not arrive"), "{kind}: {error}");
    }
    fs::copy(folder.path().join("cert.pem"), folder.path().join("client-ca.pem"))?;
    let receiver = Scripted::start(&["http", "ok"], Some(folder.path()))?;
    let url = format!("https://127.0.0.1:{}", receiver.port());
    let to = ["--otlp-traces", &url, "--otlp-certificate", &cert];
    run(&[&to[..], &["--otlp-client-certificate", &cert, "--otlp-client-key", &key]].concat(), 0)?;
    run(&[&to[..], &["--otlp-retry", "100ms"]].concat(), 5)?;
    Ok(())
}

/// A receiver of one protocol at a port that says nothing of it, spoken to in the other one.
fn the_other_protocol() -> Result<()> {
    for (kind, protocol, says) in [
        ("http", "grpc", "is it OTLP over HTTP? --otlp-protocol http/protobuf"),
        ("grpc", "http/protobuf", "is it OTLP over gRPC? --otlp-protocol grpc"),
    ] {
        let receiver = Scripted::start(&[kind, "ok"], None)?;
        let url = format!("http://127.0.0.1:{}", receiver.port());
        let error = run(&["--otlp-traces", &url, "--otlp-protocol", protocol, "--otlp-retry", "300ms"], 5)?.stderr;
        assert!(error.contains(says), "{kind}: {error}");
    }
    Ok(())
}

/// What is wrong with the files is told before anything is sent.
fn mistakes_with_files() -> Result<()> {
    let folder = TempDir::new()?;
    let mut files = Vec::new();
    for name in ["one", "other"] {
        let own = folder.path().join(name);
        fs::create_dir(&own)?;
        certificate(&own)?;
        files.push(["cert.pem", "key.pem"].map(|file| own.join(file).display().to_string()));
    }
    let [[cert, key], [_, other]] = files.as_slice() else { unreachable!() };
    let (of, with) = ("--otlp-client-certificate", "--otlp-client-key");
    for (arguments, says) in [
        (&["--otlp-certificate", key][..], format!("{key}: there is no certificate in it")),
        (&[of, cert, with, other], format!("{cert} and {other}: the key is that of another certificate")),
        (&[of, cert, with, cert], format!("{cert} and {cert}: there is no key in it")),
        (&[of, cert], "needed both, or neither: --otlp-client-certificate and --otlp-client-key".into()),
    ] {
        let error = run(&[&["--otlp", "https://localhost:1"], arguments].concat(), 2)?.stderr;
        assert!(error.contains(&says), "{says}: {error}");
    }
    Ok(())
}

/// A receiver that hangs up, as one that speaks TLS alone may do.
fn hangs_up() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // What was received and not read makes a reset of a close.
            let _ = connection.peek(&mut [0]);
        }
    });
    let hang_up = ["--otlp-traces", &url, "--otlp-protocol", "http/protobuf", "--otlp-retry", "300ms"];
    let error = run(&hang_up, 5)?.stderr;
    assert!(error.contains("if the receiver speaks TLS there, write https://"), "{error}");
    Ok(())
}

fn mistakes_with_tls() -> Result<()> {
    let folder = TempDir::new()?;
    certificate(folder.path())?;
    let cert = folder.path().join("cert.pem").display().to_string();
    for kind in ["http", "grpc"] {
        let protocol = if kind == "grpc" { "grpc" } else { "http/protobuf" };
        let told = |port: u16, host: &str, more: &[&str], says: &str| -> Result<()> {
            let url = format!("https://{host}:{port}");
            let to = ["--otlp-traces", &url, "--otlp-protocol", protocol, "--otlp-retry", "5s"];
            let error = run(&[&to[..], more].concat(), 5)?.stderr;
            assert!(error.contains(says) && !error.contains("trying again"), "{kind}: {says}: {error}");
            Ok(())
        };
        let plain = Scripted::start(&[kind, "ok"], None)?;
        told(plain.port(), "127.0.0.1", &[], "write http:// instead of https://")?;
        let secure = Scripted::start(&[kind, "ok"], Some(folder.path()))?;
        told(secure.port(), "127.0.0.1", &[], "name the issuer's, --otlp-certificate FILE")?;
        told(secure.port(), "localhost", &["--otlp-certificate", &cert], "certificate is for another name")?;
    }
    // One that speaks HTTP/1.1 alone, and says so.
    let secure = Scripted::start(&["http", "ok"], Some(folder.path()))?;
    let url = format!("https://127.0.0.1:{}", secure.port());
    let to = ["--otlp-traces", &url, "--otlp-protocol", "grpc", "--otlp-certificate", &cert, "--otlp-retry", "300ms"];
    let error = run(&to, 5)?.stderr;
    assert!(error.contains("is it OTLP over HTTP?"), "{error}");
    // What a CA certifies itself with, as `openssl req -x509` makes it by default.
    let mut own = Command::new("openssl");
    own.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    own.args(["-subj", "/CN=a CA", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]);
    Process::run(own.current_dir(folder.path()), Duration::from_secs(20))?.expect_code(0)?;
    let ca = Scripted::start(&["http", "ok"], Some(folder.path()))?;
    let url = format!("https://127.0.0.1:{}", ca.port());
    let error = run(&["--otlp-traces", &url, "--otlp-certificate", &cert], 5)?.stderr;
    assert!(error.contains("the certificate of a CA itself"), "{error}");
    Ok(())
}

fn interrupted() -> Result<()> {
    let dead = DeadPort::new()?;
    let url = format!("http://127.0.0.1:{}", dead.number()?);
    let mut process = Process::start(&mut redtape(&["--otlp", &url, "--otlp-retry", "1h"])?)?;
    process.wait_for("the first failure", Duration::from_secs(30), |_, error| {
        error.contains("trying again").then_some(())
    })?;
    let asked = Instant::now();
    process.signal(Signal::INT)?;
    let finished = process.finish(Duration::from_secs(20))?.expect_code(130)?;
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let error = finished.stderr;
    assert!(error.contains("interrupted; ") && error.contains(&format!("{SPANS} of {SPANS} spans")), "{error}");

    // So does a replay that waits for its time to come. The tape is of 0.87 s.
    let mut process = Process::start(&mut redtape(&["--spans", "json", "--speed", "0.02x"])?)?;
    process
        .wait_for("the first span", Duration::from_secs(40), |stdout, _| stdout.contains("trace_id").then_some(()))?;
    process.signal(Signal::INT)?;
    process.finish(Duration::from_secs(20))?.expect_code(130).map(drop)
}
