//! How to tell Wireshark and tshark that a port speaks HTTP/2: they do not find it out by themselves.

use std::collections::BTreeSet;

/// The options of a command line: `-d tcp.port==50051,http2`.
pub(super) fn options(ports: &BTreeSet<u16>) -> String {
    let options: Vec<_> = ports.iter().map(|port| format!("-d tcp.port=={port},http2")).collect();
    options.join(" ")
}

/// A script that starts tshark, or what `TSHARK` names, on a capture.
pub(super) fn script(ports: &BTreeSet<u16>, file: &str) -> String {
    let quoted = file.replace('\'', "'\\''");
    format!(
        "#!/bin/sh\n# Reads a capture that `redtape export` made. TSHARK=wireshark starts that instead.\n\
         exec \"${{TSHARK:-tshark}}\" {} -r '{quoted}' \"$@\"\n",
        options(ports)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_http2_are_told() {
        let ports = BTreeSet::from([443, 50_051]);
        assert_eq!(options(&ports), "-d tcp.port==443,http2 -d tcp.port==50051,http2");
        assert!(script(&ports, "it's.pcapng").ends_with("50051,http2 -r 'it'\\''s.pcapng' \"$@\"\n"));
        assert_eq!(options(&BTreeSet::new()), "");
    }
}
