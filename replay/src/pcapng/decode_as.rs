//! How to tell Wireshark and tshark what a port speaks: HTTP/2 they do not find out by themselves, and HTTP/1 not on ports that
//! are somebody else's.

use std::collections::BTreeMap;

/// What servers speak, by port.
#[derive(Debug, Default)]
pub(super) struct Protocols(BTreeMap<u16, &'static str>);

/// Ports that HTTP/1 is expected at.
const USUAL: [u16; 2] = [80, 8080];

/// Ports that are told of; a capture with more has its servers' ports taken for clients'.
const MOST: usize = 64;

impl Protocols {
    /// A client has sent this to a server first.
    pub(super) fn add(&mut self, port: u16, bytes: &[u8]) {
        let protocol = if bytes.starts_with(b"PRI * HTTP/2") {
            "http2"
        } else if bytes.first().is_some_and(u8::is_ascii_uppercase) {
            "http"
        } else {
            return;
        };
        let known = self.0.contains_key(&port);
        if protocol == "http" && (known || USUAL.contains(&port)) || !known && self.0.len() >= MOST {
            return;
        }
        self.0.insert(port, protocol);
    }

    /// The options of a command line: `-d tcp.port==50051,http2`.
    pub(super) fn options(&self) -> String {
        let options: Vec<_> = self.0.iter().map(|(port, protocol)| format!("-d tcp.port=={port},{protocol}")).collect();
        options.join(" ")
    }

    /// A script that starts tshark, or what `TSHARK` names, on a capture.
    pub(super) fn script(&self, file: &str) -> String {
        let quoted = file.replace('\'', "'\\''");
        format!(
            "#!/bin/sh\n# Reads a capture that `redtape export` made. TSHARK=wireshark starts that instead.\n\
             exec \"${{TSHARK:-tshark}}\" {} -r '{quoted}' \"$@\"\n",
            self.options()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_told_that_dissectors_do_not_know() {
        let mut protocols = Protocols::default();
        for (port, bytes) in [
            (80, "GET / HTTP/1.1"),
            (6001, "GET / HTTP/1.1"),
            (443, "GET / HTTP/1.1"),
            (443, "PRI * HTTP/2.0"),
            (5432, "\0\0\0\x08"),
        ] {
            protocols.add(port, bytes.as_bytes());
        }
        assert_eq!(protocols.options(), "-d tcp.port==443,http2 -d tcp.port==6001,http");
        assert!(protocols.script("it's.pcapng").ends_with(",http -r 'it'\\''s.pcapng' \"$@\"\n"));
    }
}
