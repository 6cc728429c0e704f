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
        Self::nginx_in(TempDir::new()?, "", "", "master_process off;")
    }

    /// nginx that speaks HTTP/2 without TLS, to clients that know it.
    pub fn nginx_with_http2() -> Result<Self> {
        Self::nginx_in(TempDir::new()?, "http2", "", "master_process off;")
    }

    /// nginx that speaks TLS, by `key.pem` and `cert.pem` of this folder; as one process, or with workers of their own. Those end
    /// when the server is told to, and not when it is killed.
    pub fn nginx_with_tls(folder: TempDir, workers: usize) -> Result<Self> {
        let root = folder.path().display();
        let keys = format!("ssl_certificate {root}/cert.pem; ssl_certificate_key {root}/key.pem;");
        let processes = match workers {
            0 => "master_process off;".to_owned(),
            workers => format!("user root; worker_processes {workers};"),
        };
        Self::nginx_in(folder, "ssl", &keys, &processes)
    }

    fn nginx_in(folder: TempDir, listen: &str, keys: &str, processes: &str) -> Result<Self> {
        let port = free_port()?;
        write_site(folder.path())?;
        let root = folder.path().display();
        let temporary =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path tmp;"));
        let configuration = format!(
            "{processes} pid {root}/pid; error_log stderr; daemon off;\n\
             events {{ worker_connections 64; }}\n\
             http {{ access_log off; sendfile on; keepalive_requests 100000; {}\n\
             server {{ listen 127.0.0.1:{port} {listen}; {keys} root {root}; }} }}\n",
            temporary.join(" ")
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration)?;
        let mut command = Command::new("nginx");
        let process = Process::start(command.arg("-p").arg(folder.path()).arg("-c").arg(&file).args(["-e", "stderr"]))?;
        wait_until_it_accepts(port).map_err(|error| format!("{error}: {}", process.stderr()))?;
        Ok(Self { process, port, _folder: Some(folder) })
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
}

/// Waits until somebody accepts connections on a port of loopback.
pub fn wait_until_it_accepts(port: u16) -> Result<()> {
    let end = Instant::now() + READY;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if Instant::now() > end {
            return Err(format!("no connection within {READY:?}").into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A port of loopback that nobody listens on at the moment.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A port of loopback where nobody listens, and nobody else can: it is one end of a connection, as long as this lives.
pub struct DeadPort {
    taken: TcpStream,
    _listener: TcpListener,
}

impl DeadPort {
    /// Takes it.
    ///
    /// # Errors
    /// There is none.
    pub fn new() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Self { taken: TcpStream::connect(listener.local_addr()?)?, _listener: listener })
    }

    /// Its number.
    ///
    /// # Errors
    /// The system does not know it.
    pub fn number(&self) -> Result<u16> {
        Ok(self.taken.local_addr()?.port())
    }
}

fn write_site(folder: &Path) -> Result<()> {
    Ok(fs::write(folder.join("index.html"), "x".repeat(1024))?)
}
