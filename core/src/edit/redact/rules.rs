//! A policy made ready: which bytes of a header value or a request target are to go.

use std::ops::Range;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use memchr::{memchr, memchr2, memmem};

use super::key::{Key, is_token};
use super::mask::{MASK, Style, fill_coded, shape};
use super::policy::{PathClass, PathPolicy, PolicyError, RedactPolicy, Treatment, ValueMode, ValuePolicy};
use crate::route::{Class, Matcher, class_of, decoded};

/// Why something was masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The value of a header field.
    Header,
    /// The value of a cookie.
    Cookie,
    /// The value of a parameter of a query or path, a fragment, or a name and password in a URL.
    Query,
    /// A segment of a path.
    Path,
    /// A body, or a part of it.
    Body,
    /// Bytes that were not understood: of another protocol, behind lost bytes, out of order.
    Unparsed,
    /// A fact of a process.
    Process,
    /// A fact of the tape, of its configuration or from outside.
    Fact,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Header, Self::Cookie, Self::Query, Self::Path, Self::Body, Self::Unparsed, Self::Process, Self::Fact];

    /// In words, of several.
    pub(super) const fn plural(self) -> &'static str {
        match self {
            Self::Header => "header values",
            Self::Cookie => "cookie values",
            Self::Query => "query values",
            Self::Path => "path segments",
            Self::Process => "facts of processes",
            Self::Fact => "facts of the tape",
            Self::Body | Self::Unparsed => self.name(),
        }
    }

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header => "header value",
            Self::Cookie => "cookie value",
            Self::Query => "query value",
            Self::Path => "path segment",
            Self::Body => "bodies",
            Self::Unparsed => "what was not understood",
            Self::Process => "fact of a process",
            Self::Fact => "fact of the tape",
        }
    }
}

/// What a header field is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Kept, whatever a sender says of it: messages cannot be found without it, or the policy names it.
    Always,
    Keep,
    Mask,
    /// A host and a port, before which there may be a name and a password.
    Authority,
    Cookie,
    SetCookie,
    /// A URL or a part of one.
    Target,
}

/// Bytes of a value that are to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) range: Range<usize>,
    pub(super) rule: Rule,
    pub(super) style: Style,
}

/// Fields that say where messages end, or that HTTP cannot do without.
const FRAMING: [&str; 9] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    ":method",
    ":scheme",
    ":status",
    ":protocol",
];

/// Fields that telemetry goes by: kept where all others are masked.
const TELEMETRY: [&str; 6] = ["host", ":authority", "user-agent", "traceparent", "tracestate", "grpc-trace-bin"];

/// Fields that tell gRPC from other HTTP, and how a call ended: kept even where a sender of HTTP/2 calls them secret.
const PROTOCOL: [&str; 2] = ["content-type", "grpc-status"];

/// Fields whose values are hosts.
const HOSTS: [&str; 3] = ["host", ":authority", "x-forwarded-host"];

/// Fields whose values are URLs.
const TARGETS: [&str; 12] = [
    ":path",
    "destination",
    "origin",
    "link",
    "refresh",
    "location",
    "content-location",
    "referer",
    "x-original-url",
    "x-rewrite-url",
    "x-original-uri",
    "x-forwarded-uri",
];

/// Bytes that the name of a parameter has at most; what is longer is taken for a value.
const NAME_BYTES: usize = 64;

/// A policy made ready.
#[derive(Debug)]
pub(super) struct Rules {
    policy: RedactPolicy,
    header_mask: GlobSet,
    header_keep: GlobSet,
    cookie_keep: GlobSet,
    query_keep: GlobSet,
    classes: Vec<Class>,
    behind: GlobSet,
    behind_keep: GlobSet,
    patterns: Vec<(Matcher, Vec<String>)>,
    key: Option<Key>,
    /// The tape has tokens of an earlier redaction, which stay.
    pub(super) tokens_stay: bool,
}

impl Rules {
    pub(super) fn new(policy: &RedactPolicy, key: Option<Key>) -> Result<Self, PolicyError> {
        match (policy.values, &key) {
            (ValueMode::Hash, None) => return Err(PolicyError::NoKey),
            (ValueMode::Mask, Some(_)) => return Err(PolicyError::KeyUnused),
            _ => {}
        }
        let policy = policy.in_full();
        let PathPolicy { classes, behind, patterns } = &policy.paths;
        let patterns = patterns.iter().map(|pattern| {
            let error = |(_, error)| PolicyError::Path { pattern: pattern.clone(), error };
            let segments = pattern.trim_start_matches('/').split('/').map(str::to_owned).collect();
            Ok((Matcher::new(std::slice::from_ref(pattern)).map_err(error)?, segments))
        });
        Ok(Self {
            header_mask: globs("headers.mask", &policy.headers.mask)?,
            header_keep: globs("headers.keep", &policy.headers.keep)?,
            cookie_keep: globs("cookies.keep", &policy.cookies.keep)?,
            query_keep: globs("query.keep", &policy.query.keep)?,
            classes: classes.mask.iter().filter(|class| !classes.keep.contains(class)).map(PathClass::class).collect(),
            behind: globs("paths.behind.mask", &behind.mask)?,
            behind_keep: globs("paths.behind.keep", &behind.keep)?,
            patterns: patterns.collect::<Result<_, _>>()?,
            policy,
            key,
            tokens_stay: false,
        })
    }

    pub(super) const fn policy(&self) -> &RedactPolicy {
        &self.policy
    }

    /// What a field of this name is.
    pub(super) fn field(&self, name: &[u8]) -> Field {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let name = name.as_str();
        if FRAMING.contains(&name) || self.header_keep.is_match(name) {
            return Field::Always;
        }
        match name {
            _ if self.header_mask.is_match(name) => Field::Mask,
            "cookie" | "cookie2" => Field::Cookie,
            "set-cookie" | "set-cookie2" => Field::SetCookie,
            _ if TARGETS.contains(&name) => Field::Target,
            _ if PROTOCOL.contains(&name) => Field::Always,
            _ if TELEMETRY.contains(&name) || self.policy.headers.others == Treatment::Keep => {
                if HOSTS.contains(&name) { Field::Authority } else { Field::Keep }
            }
            _ => Field::Mask,
        }
    }

    /// Marks what is to go of a field's value.
    pub(super) fn mark_value(&self, field: Field, value: &[u8], marks: &mut Vec<Mark>) {
        match field {
            Field::Always | Field::Keep => {}
            Field::Authority => {
                let user = memchr::memrchr(b'@', value).unwrap_or_default();
                put(marks, 0..user, Rule::Query);
            }
            Field::Mask => put(marks, 0..value.len(), Rule::Header),
            Field::Cookie => self.mark_pairs(value, 0..value.len(), &self.policy.cookies, Rule::Cookie, marks),
            Field::SetCookie => self.mark_set_cookie(value, marks),
            Field::Target => self.mark_target(value, marks),
        }
    }

    /// Marks the values of pairs between `;` and `&`. What has no name is a value, and so is what only looks like one: base64 ends
    /// with `=` behind which nothing comes, and names have no other punctuation than these have.
    fn mark_pairs(&self, text: &[u8], range: Range<usize>, policy: &ValuePolicy, rule: Rule, marks: &mut Vec<Mark>) {
        let keep = if rule == Rule::Cookie { &self.cookie_keep } else { &self.query_keep };
        if policy.values == Treatment::Keep {
            return;
        }
        let mut at = range.start;
        while at < range.end {
            let rest = text.get(at..range.end).unwrap_or_default();
            let separator = if rule == Rule::Cookie { memchr(b';', rest) } else { memchr2(b'&', b';', rest) };
            let end = at + separator.unwrap_or(rest.len());
            let pair = text.get(at..end).unwrap_or_default();
            let blank = pair.iter().take_while(|byte| **byte == b' ' || **byte == b'\t').count();
            let valued = |equals: &usize| pair.iter().skip(*equals).any(|byte| !matches!(byte, b'=' | b' ' | b'\t'));
            let name = |equals: usize| pair.get(blank..equals).map(String::from_utf8_lossy).unwrap_or_default();
            let equals = memchr(b'=', pair).filter(|equals| is_name(&decoded(&name(*equals))));
            if !equals.is_some_and(|equals| keep.is_match(name(equals).to_ascii_lowercase().as_str())) {
                let equals = equals.filter(valued);
                put(marks, at + equals.map_or(blank, |equals| equals + 1)..end, rule);
            }
            at = end + 1;
        }
    }

    fn mark_set_cookie(&self, value: &[u8], marks: &mut Vec<Mark>) {
        let cookie_end = memchr(b';', value).unwrap_or(value.len());
        self.mark_pairs(value, 0..cookie_end, &self.policy.cookies, Rule::Cookie, marks);
        let mut at = cookie_end + 1;
        while let Some(rest) = value.get(at..).filter(|rest| !rest.is_empty()) {
            let end = at + memchr(b';', rest).unwrap_or(rest.len());
            let name =
                value.get(at..end).and_then(|part| part.split(|byte| b"=,".contains(byte)).next()).unwrap_or_default();
            let name = String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase();
            let attribute = value.get(at..end).unwrap_or_default();
            let len = attribute_len(attribute);
            let from = if is_attribute(&name, attribute.get(..len).unwrap_or_default()) { at + len } else { at };
            self.mark_pairs(value, from..end, &self.policy.cookies, Rule::Cookie, marks);
            at = end + 1;
        }
    }

    /// Marks what is to go of a request target or a URL.
    pub(super) fn mark_target(&self, target: &[u8], marks: &mut Vec<Mark>) {
        let query = memchr2(b'?', b'#', target).unwrap_or(target.len());
        let path_from = Self::mark_authority(target.get(..query).unwrap_or_default(), marks);
        self.mark_path(target, path_from..query, marks);
        let fragment = memchr(b'#', target).unwrap_or(target.len());
        self.mark_pairs(target, query + 1..fragment, &self.policy.query, Rule::Query, marks);
        if self.policy.query.values == Treatment::Mask {
            put(marks, (fragment + 1).min(target.len())..target.len(), Rule::Query);
        }
    }

    /// Marks the target of CONNECT, unless it is what it must be: a host and a port (RFC 9112, section 3.2.3).
    pub(super) fn mark_connect_target(target: &[u8], marks: &mut Vec<Mark>) {
        let (host, port) = match memchr::memrchr(b':', target) {
            Some(colon) => target.split_at_checked(colon).unwrap_or((target, b"")),
            None => (target, &b""[..]),
        };
        let of_host = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_[]:%".contains(byte);
        if !host.iter().all(of_host) || port.len() > 6 || !port.iter().skip(1).all(u8::is_ascii_digit) {
            put(marks, 0..target.len(), Rule::Query);
        }
    }

    /// Marks a name and password in a URL, also in one without a scheme. Returns where its path begins.
    fn mark_authority(url: &[u8], marks: &mut Vec<Mark>) -> usize {
        let Some(slashes) = memmem::find(url, b"//") else { return 0 };
        let scheme = url.get(..slashes).unwrap_or_default();
        if memchr(b'/', scheme).is_some() || !scheme.is_empty() && !scheme.ends_with(b":") {
            return 0;
        }
        let from = slashes + 2;
        let authority = url.get(from..).unwrap_or_default();
        let len = memchr2(b'/', b'\\', authority).unwrap_or(authority.len());
        let user = authority.get(..len).and_then(|authority| memchr::memrchr(b'@', authority)).unwrap_or_default();
        put(marks, from..from + user, Rule::Query);
        // Without a name it may as well be a path whose first segment is empty.
        if user == 0 && scheme.is_empty() { 0 } else { from + len }
    }

    fn mark_path(&self, target: &[u8], range: Range<usize>, marks: &mut Vec<Mark>) {
        let path = target.get(range.clone()).unwrap_or_default();
        let text = String::from_utf8_lossy(path);
        let fitting: Vec<_> = self.patterns.iter().filter(|(matcher, _)| matcher.find(&text).is_some()).collect();
        // As routes do, without empty segments.
        let (mut at, mut number, mut behind) = (range.start, 0, false);
        for segment in path.split(|&byte| byte == b'/') {
            let (from, end) = (at, at + segment.len());
            at = end + 1;
            if segment.is_empty() {
                continue;
            }
            let name_len = memchr(b';', segment).unwrap_or(segment.len());
            self.mark_pairs(target, from + name_len + 1..end, &self.policy.query, Rule::Query, marks);
            let name = String::from_utf8_lossy(segment.get(..name_len).unwrap_or_default());
            let at_placeholder = |segments: &[String]| match segments.get(number) {
                Some(segment) => segment.contains(['{', '*', ':']),
                None => true,
            };
            // A name and password of a URL within this one's path.
            let user = memchr(b':', segment).zip(memchr(b'@', segment)).is_some_and(|(colon, at)| colon < at);
            let is_behind = std::mem::replace(&mut behind, self.is_before_secret(&name));
            let masked = user
                || is_behind
                || fitting.iter().any(|(_, segments)| at_placeholder(segments))
                || !self.classes.is_empty() && self.classes.contains(&class_of(&decoded(&name)));
            if masked {
                marks.push(Mark { range: from..from + name_len, rule: Rule::Path, style: Style::Shaped });
            }
            number += 1;
        }
    }

    /// Whether the segment behind one of this name is a secret.
    fn is_before_secret(&self, name: &str) -> bool {
        let name = decoded(name).to_ascii_lowercase();
        self.behind.is_match(name.as_str()) && !self.behind_keep.is_match(name.as_str())
    }

    /// Overwrites what is marked of a text that stands for itself.
    pub(super) fn apply(&self, text: &mut [u8], marks: &[Mark]) {
        for Mark { range, style, .. } in marks {
            let Some(value) = text.get_mut(range.clone()) else { continue };
            match (&self.key, style) {
                (Some(_), _) if self.tokens_stay && is_token(value) => {}
                (Some(key), _) => key.put_token(value),
                (None, Style::Flat) => value.fill(MASK),
                (None, Style::Shaped) => shape(value, false),
            }
        }
    }

    /// Overwrites what is marked of a text of an HPACK block. No tokens: their code would not be as long.
    pub(super) fn apply_hpack(text: &mut [u8], marks: &[Mark], huffman: bool) {
        for Mark { range, style, .. } in marks {
            let Some(value) = text.get_mut(range.clone()) else { continue };
            match style {
                Style::Flat if !huffman => value.fill(MASK),
                Style::Flat => fill_coded(value),
                Style::Shaped => shape(value, huffman),
            }
        }
    }
}

/// Whether a decoded text can be the name of a cookie or a parameter.
fn is_name(text: &str) -> bool {
    let of_name = |char: char| char.is_alphanumeric() || "-_.~[]$!* ".contains(char);
    !text.is_empty() && text.len() <= NAME_BYTES && text.chars().all(of_name)
}

/// Whether a part of `Set-Cookie` behind the cookie is an attribute (RFC 6265, section 4.1), with a value that such ones have: anything else
/// is masked like a cookie.
fn is_attribute(name: &str, attribute: &[u8]) -> bool {
    const OF_DATES: &str = "mon tue wed thu fri sat sun jan feb mar apr may jun jul aug sep oct nov dec gmt utc";
    let from = memchr(b'=', attribute).map_or(attribute.len(), |equals| equals + 1);
    let value = attribute.get(from..).unwrap_or_default().trim_ascii();
    let value = value.strip_suffix(b",").unwrap_or(value);
    let all = |of: fn(&u8) -> bool| value.iter().all(of);
    match name {
        "expires" => value.split(|byte| b" ,:-".contains(byte)).all(|word| {
            let begin = word.get(..3).unwrap_or_default().to_ascii_lowercase();
            let named = OF_DATES.split(' ').any(|name| name.as_bytes() == begin) && word.len() <= 9;
            named || word.len() <= 4 && word.iter().all(u8::is_ascii_digit)
        }),
        "max-age" => all(|byte| byte.is_ascii_digit() || *byte == b'-'),
        "domain" => all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(byte)),
        "path" => true,
        "samesite" => ["strict", "lax", "none"].iter().any(|mode| value.eq_ignore_ascii_case(mode.as_bytes())),
        "priority" => ["low", "medium", "high"].iter().any(|mode| value.eq_ignore_ascii_case(mode.as_bytes())),
        "secure" | "httponly" | "partitioned" => value.is_empty(),
        _ => false,
    }
}

/// How long an attribute of a cookie is, up to a comma behind which another cookie stands, as fields may be joined so. In a
/// date, a comma stands behind the day of the week.
fn attribute_len(attribute: &[u8]) -> usize {
    let value = memchr(b'=', attribute).map_or(0, |equals| equals + 1);
    let is_date = attribute.trim_ascii_start().get(..8).is_some_and(|name| name.eq_ignore_ascii_case(b"expires="));
    let is_day = |comma: &usize| {
        let text = attribute.get(value..*comma).unwrap_or_default();
        is_date && (3..=9).contains(&text.len()) && text.iter().all(u8::is_ascii_alphabetic)
    };
    let comma = memchr::memchr_iter(b',', attribute).find(|comma| !is_day(comma));
    comma.map_or(attribute.len(), |comma| comma + 1)
}

/// Marks a value that is not empty.
fn put(marks: &mut Vec<Mark>, range: Range<usize>, rule: Rule) {
    if !range.is_empty() {
        marks.push(Mark { range, rule, style: Style::Flat });
    }
}

/// Patterns of names, which are compared in lower case.
fn globs(key: &'static str, patterns: &[String]) -> Result<GlobSet, PolicyError> {
    let wrong = |pattern: &str, error: &globset::Error| PolicyError::Name {
        key,
        pattern: pattern.to_owned(),
        message: error.kind().to_string(),
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = GlobBuilder::new(&pattern.to_ascii_lowercase()).literal_separator(false).build();
        set.add(glob.map_err(|error| wrong(pattern, &error))?);
    }
    set.build().map_err(|error| wrong("", &error))
}
