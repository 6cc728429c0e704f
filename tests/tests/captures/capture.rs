//! Packets of real traffic on loopback, and what can happen to them on their way into a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use redtape_tests::{Process, Result, Server, Signal};
use tempfile::TempDir;

use crate::counts::LIMIT;

const READY: Duration = Duration::from_secs(20);

/// What tcpdump wrote down.
pub(crate) struct Capture {
    pub(crate) folder: TempDir,
    pub(crate) file: PathBuf,
    pub(crate) port: u16,
}

/// Captures what curl and a server say to each other: 120 requests on several connections, 40 of them of files that are not there.
pub(crate) fn traffic(server: &Server, curl: &[&str], tcpdump: &[&str]) -> Result<Capture> {
    let folder = TempDir::new()?;
    let (file, port) = (folder.path().join("traffic.pcap"), server.port());
    let mut command = Command::new("tcpdump");
    command.args(["-U", "-Z", "root", "-w"]).arg(&file).args(tcpdump).arg(format!("tcp port {port}"));
    let mut dump = Process::start(&mut command)?;
    dump.wait_for("tcpdump to listen", READY, |_, stderr| stderr.contains("listening on").then_some(()))?;
    let site = format!("http://127.0.0.1:{port}");
    // Debian's curl does not use a connection again that it knew to speak HTTP/2.
    let urls = match curl {
        [] => ["/?n=[1-5]", "/missing/[1-5]", "/?again=[1-5]"].repeat(8),
        _ => ["/?n=1", "/missing/1", "/?again=1"].repeat(40),
    };
    for url in urls {
        let url = format!("{site}{url}");
        let mut command = Command::new("curl");
        command.args(["-s", "-o", "/dev/null"]).args(curl).arg(&url);
        Process::run(&mut command, LIMIT)?.expect_code(0)?;
    }
    // What the kernel has handed over is written at the end, and it hands over what it has within a second.
    std::thread::sleep(Duration::from_millis(1500));
    dump.signal(Signal::INT)?;
    dump.finish(READY)?;
    Ok(Capture { folder, file, port })
}

impl Capture {
    /// The same packets in another order, several times, or fewer of them.
    pub(crate) fn mangled(&self, name: &str, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Result<PathBuf> {
        let bytes = fs::read(&self.file)?;
        let (head, mut rest) = bytes.split_at(24);
        let mut records = Vec::new();
        while let Some(header) = rest.get(..16) {
            let len = 16 + u32::from_le_bytes(header[8..12].try_into()?) as usize;
            let Some(record) = rest.get(..len) else { break };
            records.push(record.to_vec());
            rest = &rest[len..];
        }
        change(&mut records);
        let file = self.folder.path().join(name);
        fs::write(&file, [head, &records.concat()].concat())?;
        Ok(file)
    }

    /// What editcap makes of it.
    pub(crate) fn edited(&self, name: &str, options: &[&str]) -> Result<PathBuf> {
        edited(&self.file, &self.folder.path().join(name), options)
    }
}

/// What editcap makes of a file.
pub(crate) fn edited(from: &Path, to: &Path, options: &[&str]) -> Result<PathBuf> {
    let mut command = Command::new("editcap");
    Process::run(command.args(options).arg(from).arg(to), LIMIT)?.expect_code(0)?;
    Ok(to.to_owned())
}

/// The TCP payload of a record of an Ethernet or SLL2 capture has so many bytes.
pub(crate) fn payload_len(record: &[u8]) -> usize {
    // Both end before an IPv4 header, whose first byte is 0x45 here.
    let ip = [16 + 14, 16 + 20].into_iter().find(|at| record.get(*at) == Some(&0x45)).unwrap_or(30);
    let total = usize::from(u16::from_be_bytes([record[ip + 2], record[ip + 3]]));
    total - 20 - usize::from(record[ip + 20 + 12] >> 4) * 4
}
