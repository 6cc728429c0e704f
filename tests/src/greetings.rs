//! The four greetings services, running, and the load client's exact counts.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use crate::{Process, Result, Server, binary};

const READY: Duration = Duration::from_secs(10);
const LOAD: Duration = Duration::from_secs(60);

/// The four services on free ports of loopback, each with its own `OTEL_SERVICE_NAME`.
#[derive(Debug)]
pub struct Greetings {
    services: Vec<(&'static str, Process, u16)>,
}

/// What the load client counted: the truth that a recording is checked against.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names say it; the load client documents its report")]
pub struct Truth {
    pub sent: u64,
    pub answered: u64,
    pub unanswered: u64,
    pub connections_opened: u64,
    pub requests: Vec<Answered>,
}

/// Requests that were alike and were answered alike.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names say it; the load client documents its report")]
pub struct Answered {
    pub method: String,
    pub path: String,
    pub status: u16,
    pub count: u64,
}

/// How often each path was answered with each status.
pub type Counts = BTreeMap<(String, String), u64>;

/// A bounded load on one server.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the load client documents its options")]
pub struct Load<'a> {
    pub target: String,
    pub requests: u64,
    pub connections: u64,
    pub paths: &'a [&'a str],
    pub keep_alive: bool,
}

impl Greetings {
    /// Starts the services, those first that others ask, and waits until each is ready.
    pub fn start(options: &[&str]) -> Result<Self> {
        let mut running = Self { services: Vec::new() };
        for name in ["year", "name", "message", "frontend"] {
            let mut command = Command::new(binary("greetings")?);
            command.args([name, "--listen", "127.0.0.1:0"]).args(options).env("OTEL_SERVICE_NAME", name);
            for (other, _, port) in &running.services {
                command.env(format!("{}_ENDPOINT", other.to_uppercase()), format!("http://127.0.0.1:{port}"));
            }
            let mut process = Process::start(&mut command)?;
            let port = process.wait_for(&format!("{name} to listen"), READY, |stdout, _| {
                let line = stdout.lines().next().filter(|_| stdout.ends_with('\n'))?;
                line.rsplit(':').next()?.parse().ok()
            })?;
            running.services.push((name, process, port));
        }
        Ok(running)
    }

    /// The ports of all services, as a list for `--port`.
    pub fn ports(&self) -> String {
        let ports: Vec<_> = self.services.iter().map(|(_, _, port)| port.to_string()).collect();
        ports.join(",")
    }

    /// Where the frontend is.
    pub fn frontend(&self) -> String {
        let port = self.services.iter().find(|(name, ..)| *name == "frontend").map_or(0, |(_, _, port)| *port);
        format!("http://127.0.0.1:{port}")
    }
}

/// The service `message` alone, which answers at once, on a port of loopback that is free.
pub fn message() -> Result<Server> {
    message_at("127.0.0.1:0")
}

/// The same at an address and port.
pub fn message_at(listen: &str) -> Result<Server> {
    let mut command = Command::new(binary("greetings")?);
    Server::start(command.args(["message", "--listen", listen, "--max-delay-us", "0"]), "listening on")
}

/// Requests for greetings to such a service.
pub fn load(server: &Server, requests: u64) -> Load<'static> {
    Load::new(server.url(), requests, &["/message"])
}

impl<'a> Load<'a> {
    /// A load over four kept connections.
    pub fn new(target: String, requests: u64, paths: &'a [&'a str]) -> Self {
        Self { target, requests, connections: 4, paths, keep_alive: true }
    }

    /// Sends the load and gives what was counted.
    pub fn send(&self) -> Result<Truth> {
        let mut command = self.command()?;
        let finished = Process::run(&mut command, LOAD)?.expect_code(0)?;
        Ok(serde_json::from_str(&finished.stdout)?)
    }

    /// The command that sends it, for a test that starts it in its own way.
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new(binary("greetings")?);
        command.args(["load", "--target", &self.target]);
        command.args(["--requests", &self.requests.to_string(), "--connections", &self.connections.to_string()]);
        for path in self.paths {
            command.args(["--path", path]);
        }
        if !self.keep_alive {
            command.arg("--no-keep-alive");
        }
        Ok(command)
    }
}

impl Truth {
    /// How many requests there were, by path and status.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        for Answered { path, status, count, .. } in &self.requests {
            *counts.entry((path.clone(), status.to_string())).or_default() += count;
        }
        counts
    }

    /// How many requests for `path` were answered with `status`.
    pub fn count(&self, path: &str, status: u16) -> u64 {
        let alike = |answered: &&Answered| answered.path == path && answered.status == status;
        self.requests.iter().filter(alike).map(|answered| answered.count).sum()
    }
}
