//! A recorder in a pid namespace of its own, as in a container or beside the others in a pod: it records that namespace's
//! processes and those of namespaces further in, by their ids there.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use redtape_tests::{
    Load, Process, Recorder, Recording, Requirement, Result, Server, Span, Truth, binary, free_port, served, trial,
};
use tempfile::TempDir;

use crate::tls;

/// Makes a process for each connection.
const FORKING: &str = "
import http.server, socketserver
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '700')
        self.end_headers()
        self.wfile.write(b'x' * 700)
class Server(socketserver.ForkingMixIn, http.server.HTTPServer): pass
server = Server(('127.0.0.1', 0), Handler)
print('listens on', server.server_port, flush=True)
server.serve_forever()
";

pub(crate) fn trials() -> Vec<Trial> {
    const OWN: &[Requirement] = &[
        Requirement::Bpf,
        Requirement::Program("unshare"),
        Requirement::Program("nsenter"),
        Requirement::Program("python3"),
    ];
    const TLS: &[Requirement] = &[Requirement::Uprobes, Requirement::Program("openssl")];
    vec![
        trial("namespaces::children_made_while_recording", OWN, children),
        trial("namespaces::others_are_not_recorded", OWN, others),
        trial("namespaces::processes_further_in_are_recorded", OWN, further_in),
        trial("namespaces::tls", &[OWN, TLS].concat(), https),
        trial("namespaces::the_proc_of_a_namespace_further_out", OWN, outer_proc),
        trial("namespaces::the_proc_of_a_namespace_further_in", OWN, inner_proc),
    ]
}

fn children() -> Result<()> {
    let namespace = Namespace::create()?;
    let server = Server::start(namespace.command("python3").args(["-c", FORKING]), "listens on")?;
    let load = Load { keep_alive: false, ..Load::new(server.url(), 40, &["/message", "/other"]) };
    let recording = namespace.record(&[server.port()], words(&load.command()?))?;
    let (truth, spans) = (truth_of(&recording)?, recording.spans()?);
    assert_eq!((truth.answered, served(&spans)), (40, truth.counts()));
    assert_eq!(recording.info()?.lost, 0);
    let servers: Vec<_> = spans.iter().filter(|span| span.is_server()).collect();
    for span in &servers {
        assert!(span.service.starts_with("python3"), "{span:?}");
    }
    // Each is another child, and no id is the initial namespace's.
    let ids: BTreeSet<u64> = servers.iter().map(|span| process_id(span)).collect();
    assert!(ids.len() == 40 && ids.iter().all(|&id| 1 < id && id < 400), "{ids:?}");
    assert_eq!(spans.iter().filter(|span| span.is_client()).count(), 40);
    Ok(())
}

/// Not a server outside, though it listens on a port that is asked for.
fn others() -> Result<()> {
    let (namespace, outside) = (Namespace::create()?, Server::python()?);
    let load = Load { keep_alive: false, ..Load::new(outside.url(), 10, &["/index.html"]) };
    let recording = namespace.record(&[outside.port()], words(&load.command()?))?;
    let spans = recording.spans()?;
    assert_eq!((truth_of(&recording)?.answered, served(&spans).len()), (10, 0));
    assert_eq!(spans.iter().filter(|span| span.is_client()).count(), 10);
    Ok(())
}

/// As on a node that is itself a container: a server two namespaces further in, with its children, and a client one further in.
fn further_in() -> Result<()> {
    const ONE: [&str; 3] = ["unshare", "--pid", "--fork"];
    let namespace = Namespace::create()?;
    let mut server = namespace.command(ONE[0]);
    server.args(&ONE[1..]).args(ONE).args(["--kill-child", "python3", "-c", FORKING]);
    let server = Server::start(&mut server, "listens on")?;
    let load = Load { keep_alive: false, ..Load::new(server.url(), 20, &["/message"]) };
    let mut client = ONE.map(OsString::from).to_vec();
    client.extend(words(&load.command()?));
    let recording = namespace.record(&[server.port()], client)?;
    let (truth, spans) = (truth_of(&recording)?, recording.spans()?);
    assert_eq!((truth.answered, served(&spans)), (20, truth.counts()));
    // By their ids in the recorder's namespace: in theirs, the client is process 1.
    let ids = |is: fn(&Span) -> bool| spans.iter().filter(|span| is(span)).map(process_id).collect::<BTreeSet<_>>();
    let (servers, clients) = (ids(Span::is_server), ids(Span::is_client));
    assert_eq!((servers.len(), clients.len()), (20, 1));
    assert!(
        servers.is_disjoint(&clients) && servers.union(&clients).all(|&id| 4 < id && id < 400),
        "{servers:?} {clients:?}"
    );
    assert_eq!(spans.iter().filter(|span| span.is_client()).count(), 20);
    Ok(())
}

fn https() -> Result<()> {
    let (namespace, folder) = (Namespace::create()?, tls::with_certificate()?);
    // Entering the namespace of mounts leaves the folder.
    let mut server = namespace.command("env");
    server.arg("--chdir").arg(folder.path()).args(["python3", "-u", tls::SERVER, "threads"]);
    let server = Server::start(&mut server, "listens on")?;
    let mut client = ["python3", tls::CLIENT].map(OsString::from).to_vec();
    client.extend([server.port(), 8, 5].map(|number| number.to_string().into()));
    let recording = namespace.record(&[server.port()], client)?;
    assert!(recording.recorder.status.success(), "{}", recording.recorder.stderr);
    let spans = recording.spans()?;
    tls::check_spans(&spans, 8, 5);
    assert_eq!(tls::untied(&spans), 0);
    Ok(())
}

fn outer_proc() -> Result<()> {
    let mut inside = Command::new("unshare");
    inside.args(["--pid", "--fork", "--kill-child"]);
    is_refused(inside)
}

fn inner_proc() -> Result<()> {
    let namespace = Namespace::create()?;
    let mut outside = Command::new("nsenter");
    outside.args(["--target", &namespace.first, "--mount", "--root", "--"]);
    is_refused(outside)
}

/// The ids that `/proc` shows there would be taken for those of other processes.
fn is_refused(mut there: Command) -> Result<()> {
    let folder = TempDir::new()?;
    let port = free_port()?.to_string();
    there.arg(binary("redtape-capture")?).args(["record", "--duration", "1s", "--port", &port, "-o"]);
    let finished = Process::run(there.arg(folder.path().join("a.tape")), Duration::from_secs(20))?.expect_code(5)?;
    assert!(finished.stderr.contains("/proc"), "{}", finished.stderr);
    Ok(())
}

/// A pid namespace with a `/proc` of its own, whose processes end with it.
struct Namespace {
    /// Its first process, as it is known outside.
    first: String,
    _unshare: Process,
}

impl Namespace {
    fn create() -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", "echo made; exec sleep 300"]);
        let mut unshare = Process::start(&mut command)?;
        unshare.wait_for("a namespace", Duration::from_secs(10), |stdout, _| stdout.contains("made").then_some(()))?;
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", unshare.id()))?;
        let first = children.split_whitespace().next().ok_or("unshare has no child")?.to_owned();
        Ok(Self { first, _unshare: unshare })
    }

    /// A command that runs in it.
    fn command(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first, "--pid", "--mount", "--root", "--"]).arg(program.into());
        command
    }

    /// Records who listens on these ports, and `client`, from within.
    fn record(&self, ports: &[u16], client: Vec<OsString>) -> Result<Recording> {
        let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
        let mut arguments = vec!["--port".into(), ports.join(",").into(), "--".into()];
        arguments.extend(client);
        Recorder::start_with(&mut self.command(binary("redtape-capture")?), arguments)?.wait()
    }
}

fn words(command: &Command) -> Vec<OsString> {
    [command.get_program()].into_iter().chain(command.get_args()).map(ToOwned::to_owned).collect()
}

fn truth_of(recording: &Recording) -> Result<Truth> {
    let said = &recording.recorder;
    serde_json::from_str(&said.stdout).map_err(|error| format!("{error}: {} {}", said.stdout, said.stderr).into())
}

fn process_id(span: &Span) -> u64 {
    span.resource.get("process.pid").and_then(serde_json::Value::as_u64).unwrap_or(0)
}
