//! Real HTTP servers to record: found ready before a test goes on, and gone with it.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Process, Result};

const READY: Duration = Duration::from_secs(15);

/// A server that accepts connections.
#[derive(Debug)]
pub struct Server {
    process: Process,
    port: u16,
    _folder: Option<TempDir>,
}

impl Server {
    /// Starts a program that says its port at the end of the first line that has `marker`, on either output.
    pub fn start(command: &mut Command, marker: &str) -> Result<Self> {
        let mut process = Process::start(command)?;
        let port = process.wait_for(&format!("{marker:?}"), READY, |stdout, stderr| {
            let line = stdout.lines().chain(stderr.lines()).find(|line| line.contains(marker))?;
            let digits = |character: char| !character.is_ascii_digit();
            line.split(digits).rfind(|number| !number.is_empty())?.parse().ok()
        })?;
        Ok(Self { process, port, _folder: None })
    }

    /// nginx as one process, so that none is left when it is killed; it serves a file of 1 KiB as `/`.
    pub fn nginx() -> Result<Self> {
        let folder = TempDir::new()?;
        let port = free_port()?;
        write_site(folder.path())?;
        let root = folder.path().display();
        let temporary =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path tmp;"));
        let configuration = format!(
            "master_process off; pid {root}/pid; error_log stderr; daemon off;\n\
             events {{ worker_connections 64; }}\n\
             http {{ access_log off; sendfile on; keepalive_requests 100000; {}\n\
             server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n",
            temporary.join(" ")
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration)?;
        let mut command = Command::new("nginx");
        let process = Process::start(command.arg("-p").arg(folder.path()).arg("-c").arg(&file).args(["-e", "stderr"]))?;
        let mut server = Self { process, port, _folder: Some(folder) };
        server.wait_until_it_accepts()?;
        Ok(server)
    }

    /// Python's own `http.server`, which serves the same file and closes each connection after its answer.
    pub fn python() -> Result<Self> {
        let folder = TempDir::new()?;
        write_site(folder.path())?;
        let mut command = Command::new("python3");
        command.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"]).arg(folder.path());
        // The line ends in the address as a URL, with a slash and a bracket.
        Ok(Self { _folder: Some(folder), ..Self::start(&mut command, "Serving HTTP on")? })
    }

    /// The server's process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn wait_until_it_accepts(&mut self) -> Result<()> {
        let end = Instant::now() + READY;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if Instant::now() > end {
                return Err(format!("no connection within {READY:?}: {}", self.process.stderr()).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// A port of loopback that nobody listens on at the moment.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn write_site(folder: &Path) -> Result<()> {
    Ok(fs::write(folder.join("index.html"), "x".repeat(1024))?)
}
