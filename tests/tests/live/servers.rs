//! Servers that others wrote: every request that the load client counted is a server span, whatever the server's way
//! to read, write and poll.

use std::process::Command;

use libtest_mimic::Trial;
use redtape_tests::{Load, Recorder, Requirement, Result, Server, served, trial};

const NODE: &str = "
const server = require('http').createServer((request, response) => {
  const found = request.url === '/';
  response.statusCode = found ? 200 : 404;
  response.end('x'.repeat(found ? 1024 : 9));
});
server.listen(0, '127.0.0.1', () => console.log('node listens on ' + server.address().port));
";

pub(crate) fn trials() -> Vec<Trial> {
    const NGINX: &[Requirement] = &[Requirement::Bpf, Requirement::Program("nginx")];
    const PYTHON: &[Requirement] = &[Requirement::Bpf, Requirement::Program("python3")];
    const NODE: &[Requirement] = &[Requirement::Bpf, Requirement::Program("node")];
    vec![
        trial("servers::nginx", NGINX, || counts(&Server::nginx()?, 1000, true)),
        trial("servers::nginx_without_keep_alive", NGINX, || counts(&Server::nginx()?, 200, false)),
        trial("servers::python", PYTHON, || counts(&Server::python()?, 200, true)),
        trial("servers::node", NODE, || counts(&node()?, 500, true)),
    ]
}

fn node() -> Result<Server> {
    Server::start(Command::new("node").args(["-e", NODE]), "node listens on")
}

fn counts(server: &Server, requests: u64, keep_alive: bool) -> Result<()> {
    let recorder = Recorder::start(["--port", &server.port().to_string()])?;
    let truth = Load { keep_alive, ..Load::new(server.url(), requests, &["/=4", "/missing=1"]) }.send()?;
    let recording = recorder.stop()?;
    assert_eq!(recording.info()?.lost, 0);
    assert_eq!(truth.answered, requests);
    let spans = recording.spans()?;
    assert_eq!(served(&spans), truth.counts());
    assert!(spans.iter().all(|span| !span.incomplete));
    Ok(())
}
