//! Where to serve: what stands behind `--prometheus`.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::str::FromStr;

/// An address to listen at, and the path of what is served there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address; `None` for all addresses of this host.
    host: Option<String>,
    /// The TCP port; 0 for any that is free.
    port: u16,
    /// The path; `None` for the usual one.
    path: Option<String>,
}

impl Endpoint {
    /// All addresses of this host.
    pub(crate) fn new(port: u16, path: &str) -> Self {
        Self { host: None, port, path: Some(path.into()) }
    }

    /// Whether the same listener serves both.
    pub(super) fn shares_listener(&self, other: &Self) -> bool {
        self.port != 0 && (&self.host, self.port) == (&other.host, other.port)
    }

    /// The path, by default `usual`.
    pub(super) fn path<'a>(&'a self, usual: &'a str) -> &'a str {
        self.path.as_deref().unwrap_or(usual)
    }

    /// Listens there.
    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        match &self.host {
            Some(host) => {
                let addresses: Vec<SocketAddr> = (host.as_str(), self.port).to_socket_addrs()?.collect();
                TcpListener::bind(&*addresses)
            }
            // A listener of IPv6 serves IPv4, too, where the host has both.
            None => TcpListener::bind((Ipv6Addr::UNSPECIFIED, self.port)).or_else(|error| match error.kind() {
                io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
                _ => TcpListener::bind((Ipv4Addr::UNSPECIFIED, self.port)),
            }),
        }
    }
}

impl fmt::Display for Endpoint {
    /// Host and port, as it is given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_deref().unwrap_or_default() {
            host if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no address such as :9090, 127.0.0.1:9090 or :9090/metrics");
        let (address, path) = match text.find('/') {
            Some(at) => (&text[..at], Some(text[at..].to_owned())),
            None => (text, None),
        };
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let host = match host.strip_prefix('[') {
            Some(host) => host.strip_suffix(']').ok_or_else(wrong)?,
            None if host.contains(':') => return Err(wrong()),
            None => host,
        };
        Ok(Self { host: Some(host.to_owned()).filter(|host| !host.is_empty()), port, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_and_may_have_more() {
        let endpoint = |host: Option<&str>, port, path: Option<&str>| {
            Some(Endpoint { host: host.map(Into::into), port, path: path.map(Into::into) })
        };
        for (text, expected) in [
            (":9090", endpoint(None, 9090, None)),
            (":0/", endpoint(None, 0, Some("/"))),
            ("127.0.0.1:80/a/b:c", endpoint(Some("127.0.0.1"), 80, Some("/a/b:c"))),
            ("[::1]:80", endpoint(Some("::1"), 80, None)),
            ("::1:80", None),
            ("9090", None),
            (":65536", None),
            ("metrics.tape", None),
            ("", None),
        ] {
            let found = text.parse().ok();
            assert_eq!(found, expected, "{text}");
            if let Some(endpoint) = found.filter(|endpoint: &Endpoint| endpoint.path.is_none()) {
                assert_eq!(endpoint.to_string(), text);
            }
        }
    }

    #[test]
    fn a_listener_may_serve_two() {
        let parse = |text: &str| text.parse::<Endpoint>().unwrap();
        assert!(parse(":9090/metrics").shares_listener(&parse(":9090/internal/metrics")));
        assert!(!parse(":9090").shares_listener(&parse(":9091")));
        assert!(!parse(":9090").shares_listener(&parse("127.0.0.1:9090")));
        assert!(!parse(":0").shares_listener(&parse(":0")));
    }
}
