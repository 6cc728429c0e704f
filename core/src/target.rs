//! The request target and the host it names, taken apart where they are asked for.

use crate::exchange::{RequestHead, Version};
use crate::span::HttpFields;

impl HttpFields {
    /// The method as sent. Semantic conventions want `_OTHER` in `http.request.method` for methods they do not know.
    pub fn method(&self) -> &str {
        self.head.method()
    }

    /// `url.path`: without query and fragment.
    pub fn path(&self) -> &str {
        Target::parse(&self.head).path
    }

    /// `url.query`, without the question mark.
    pub fn query(&self) -> Option<&str> {
        Target::parse(&self.head).query
    }

    /// Host and port that the request names: those of an absolute target, else of the `Host` header.
    pub fn host(&self) -> Option<(&str, Option<u16>)> {
        let host = Target::parse(&self.head).authority.or(self.head.host())?;
        Some(split_port(host)).filter(|(name, _)| !name.is_empty())
    }

    /// `user_agent.original`
    pub fn user_agent(&self) -> Option<&str> {
        self.head.user_agent()
    }

    /// `network.protocol.version`
    pub const fn version(&self) -> Version {
        self.head.version
    }
}

/// A request target taken apart (RFC 9112, section 3.2).
#[derive(Debug, PartialEq, Eq)]
struct Target<'a> {
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn parse(head: &'a RequestHead) -> Self {
        let target = head.target();
        // That of the extended CONNECT of HTTP/2 (RFC 8441) is a path.
        if head.method() == "CONNECT" && !target.starts_with('/') {
            return Self { authority: Some(target), path: "", query: None };
        }
        let end = memchr::memchr(b'#', target.as_bytes()).unwrap_or(target.len());
        let target = &target[..end];
        let (authority, rest) = if target.starts_with('/') { (None, target) } else { split_authority(target) };
        let (path, query) = match memchr::memchr(b'?', rest.as_bytes()) {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        let path = if path.is_empty() && authority.is_some() { "/" } else { path };
        Self { authority, path, query }
    }
}

/// Splits `scheme://authority/path` behind the authority; what is not of this form has none.
fn split_authority(target: &str) -> (Option<&str>, &str) {
    match target.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            let at = rest.find(['/', '?']).unwrap_or(rest.len());
            (Some(&rest[..at]), &rest[at..])
        }
        _ => (None, target),
    }
}

/// Splits `host:port`, `[v6]:port` or `user@host:port`; a port that is none stays with the name.
fn split_port(authority: &str) -> (&str, Option<u16>) {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match authority.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(':') && (!name.contains(':') || name.ends_with(']')) => {
            match port.parse() {
                Ok(port) => (unbracket(name), Some(port)),
                Err(_) if port.is_empty() => (unbracket(name), None),
                Err(_) => (authority, None),
            }
        }
        _ => (unbracket(authority), None),
    }
}

fn unbracket(name: &str) -> &str {
    name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_all_forms() {
        for (method, target, authority, path, query) in [
            ("GET", "/a/b?x=1&y", None, "/a/b", Some("x=1&y")),
            ("GET", "/a#f?x", None, "/a", None),
            ("GET", "/?", None, "/", Some("")),
            ("GET", "/r?u=http://h/", None, "/r", Some("u=http://h/")),
            ("GET", "/r://h", None, "/r://h", None),
            ("GET", "http://h:8080/a?b", Some("h:8080"), "/a", Some("b")),
            ("GET", "http://h", Some("h"), "/", None),
            ("GET", "http://h?q", Some("h"), "/", Some("q")),
            ("OPTIONS", "*", None, "*", None),
            ("CONNECT", "h:443", Some("h:443"), "", None),
            ("CONNECT", "/chat?x", None, "/chat", Some("x")),
            ("GET", "", None, "", None),
        ] {
            let head = RequestHead::new(method, target, None, None, Version::Http11, None);
            assert_eq!(Target::parse(&head), Target { authority, path, query }, "{method} {target}");
        }
    }

    #[test]
    fn authorities_and_their_ports() {
        for (authority, name, port) in [
            ("h", "h", None),
            ("h:80", "h", Some(80)),
            ("h:", "h", None),
            ("h:99999", "h:99999", None),
            ("[::1]:80", "::1", Some(80)),
            ("[::1]", "::1", None),
            ("::1", "::1", None),
            ("u:p@h:80", "h", Some(80)),
            (":80", "", Some(80)),
        ] {
            assert_eq!(split_port(authority), (name, port), "{authority}");
        }
    }
}
