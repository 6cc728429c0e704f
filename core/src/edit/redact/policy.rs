//! The redaction policy: what is masked, as YAML.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, read};
use crate::route::{Class, PatternError};

/// What is masked, and what is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RedactPolicy {
    /// The name under which tapes that were redacted by it say so.
    pub name: String,
    /// Whether the lists of what is masked begin with the default ones. With `false` they have what the policy says alone.
    pub defaults: bool,
    /// Header fields.
    pub headers: HeaderPolicy,
    /// The values of cookies, in `Cookie` and `Set-Cookie`. Their names are kept.
    pub cookies: ValuePolicy,
    /// The values of query parameters, and of parameters in paths (`;name=value`). Their names are kept.
    pub query: ValuePolicy,
    /// Segments of paths.
    pub paths: PathPolicy,
    /// Bodies.
    pub bodies: Treatment,
    /// Facts of processes.
    pub processes: ProcessPolicy,
    /// The name of the host.
    pub host: Treatment,
    /// The values of Kubernetes annotations. Labels are kept.
    pub annotations: Treatment,
    /// Whether a value is overwritten, or replaced by a token that is the same for the same value.
    pub values: ValueMode,
}

/// What becomes of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Treatment {
    /// It stays.
    Keep,
    /// It is overwritten.
    Mask,
}

/// What a masked value becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValueMode {
    /// Overwritten: only its length is left.
    #[default]
    Mask,
    /// In HTTP/1, a token by a keyed hash: equal for equal values of a tape, and of all tapes with the same key. Elsewhere it is overwritten.
    Hash,
}

/// Header fields, by name. Names are compared without regard to case; `*` stands for anything.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderPolicy {
    /// The names of fields whose values are masked, beside the default ones.
    pub mask: Vec<String>,
    /// The names of fields whose values are kept, whatever else says otherwise.
    pub keep: Vec<String>,
    /// What becomes of the values of all others.
    pub others: Treatment,
}

/// Named values.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ValuePolicy {
    /// What becomes of them.
    pub values: Treatment,
    /// The names of those that are kept. `*` stands for anything.
    pub keep: Vec<String>,
}

/// Segments of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PathPolicy {
    /// Segments are masked that look like one of these.
    pub classes: ClassPolicy,
    /// Segments are masked, whatever they look like, that stand behind one of these names.
    pub behind: NamePolicy,
    /// Of paths that one of these patterns fits, the segments at placeholders are masked: `/users/{name}/files/*`.
    pub patterns: Vec<String>,
}

/// What segments look like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClassPolicy {
    /// The classes of segments that are masked, beside the default ones.
    pub mask: Vec<PathClass>,
    /// The classes of segments that are kept.
    pub keep: Vec<PathClass>,
}

/// Names of segments. They are compared without regard to case; `*` stands for anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NamePolicy {
    /// The names behind which a segment is masked, beside the default ones.
    pub mask: Vec<String>,
    /// The names behind which nothing is masked on their account.
    pub keep: Vec<String>,
}

/// What a segment may look like, as `redtape routes explain` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PathClass {
    /// A date.
    Date,
    /// An e-mail address.
    Email,
    /// `@alice`
    Handle,
    /// Hexadecimal digits.
    Hex,
    /// More than 64 bytes.
    Long,
    /// Digits.
    Number,
    /// A word and a token.
    PrefixedId,
    /// Text with spaces, punctuation, or letters outside ASCII.
    Text,
    /// Letters and digits mixed.
    Token,
    /// A UUID.
    Uuid,
}

impl PathClass {
    /// What routes call it.
    pub(super) const fn class(&self) -> Class {
        match self {
            Self::Date => Class::Date,
            Self::Email => Class::Email,
            Self::Handle => Class::Handle,
            Self::Hex => Class::Hex,
            Self::Long => Class::Long,
            Self::Number => Class::Number,
            Self::PrefixedId => Class::PrefixedId,
            Self::Text => Class::Text,
            Self::Token => Class::Token,
            Self::Uuid => Class::Uuid,
        }
    }
}

/// Facts of processes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessPolicy {
    /// The arguments behind the program's name, of the recorder's own command line too.
    pub arguments: Treatment,
    /// Environment variables, but for the names of the service.
    pub environment: Treatment,
}

/// Header fields whose values are masked unless a policy says otherwise.
const SECRET_HEADERS: [&str; 29] = [
    // Not `*auth*`: `:authority` says where a request goes.
    "auth",
    "auth-*",
    "*-auth",
    "*-auth-*",
    "*authorization*",
    "*authentic*",
    "*-key",
    "*api-key*",
    "*apikey*",
    "*token*",
    "*secret*",
    "*password*",
    "*credential*",
    "*session*",
    "*signature*",
    "*passwd*",
    "*passphrase*",
    "*assertion*",
    "*csrf*",
    "*xsrf*",
    "x-*cookie*",
    "*jwt*",
    "*oidc*",
    "*client-cert*",
    "baggage",
    "dpop",
    "sec-websocket-protocol",
    "grpc-message",
    "grpc-status-details-bin",
];

/// Classes of segments that are masked unless a policy says otherwise.
const SECRET_CLASSES: [PathClass; 4] = [PathClass::Email, PathClass::Token, PathClass::PrefixedId, PathClass::Long];

/// Names of segments behind which a secret stands, unless a policy says otherwise.
const SECRET_BEHIND: [&str; 26] = [
    "session",
    "sessions",
    "token",
    "tokens",
    "*[-_]token",
    "*[-_]tokens",
    "key",
    "keys",
    "*[-_]key",
    "*[-_]keys",
    "apikey",
    "apikeys",
    "reset",
    "*[-_]reset",
    "reset[-_]*",
    "invite",
    "invites",
    "invitation",
    "invitations",
    "verify",
    "verify[-_]*",
    "confirm",
    "confirm[-_]*",
    "secret",
    "secrets",
    "password",
];

/// The name of a policy that is not the default and does not say its name.
const CUSTOM: &str = "custom";

impl Default for RedactPolicy {
    fn default() -> Self {
        Self {
            name: "default".into(),
            defaults: true,
            headers: HeaderPolicy::default(),
            cookies: ValuePolicy::default(),
            query: ValuePolicy::default(),
            paths: PathPolicy::default(),
            bodies: Treatment::Mask,
            processes: ProcessPolicy::default(),
            host: Treatment::Keep,
            annotations: Treatment::Mask,
            values: ValueMode::Mask,
        }
    }
}

impl Default for HeaderPolicy {
    fn default() -> Self {
        Self { mask: Vec::new(), keep: Vec::new(), others: Treatment::Keep }
    }
}

impl Default for ValuePolicy {
    fn default() -> Self {
        Self { values: Treatment::Mask, keep: Vec::new() }
    }
}

impl Default for ProcessPolicy {
    fn default() -> Self {
        Self { arguments: Treatment::Mask, environment: Treatment::Mask }
    }
}

/// A policy that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A name is no pattern.
    #[error("{key}: `{pattern}` is no pattern: {message}")]
    Name {
        /// The key of the policy.
        key: &'static str,
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        message: String,
    },
    /// A pattern of paths cannot be read.
    #[error("paths.patterns: `{pattern}`: {error}")]
    Path {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        error: PatternError,
    },
    /// The policy has hashes, and no key was given.
    #[error("values: hash needs a key (--key FILE)")]
    NoKey,
    /// A key was given, and the policy has no hashes.
    #[error("a key is given, but the policy has no `values: hash`")]
    KeyUnused,
    /// The key is too short to be one.
    #[error("the key has {0} bytes; at least 16 are needed, as `head -c 32 /dev/urandom` makes them")]
    ShortKey(usize),
}

impl RedactPolicy {
    /// Reads a policy from YAML; `source` is the file's name, for messages. What it does not say is as in the default, but for the
    /// name: only the default is called so, another one `custom` unless it says.
    ///
    /// # Errors
    /// It is no YAML, or has unknown keys or values.
    pub fn from_yaml(text: &str, source: &str) -> Result<Self, ConfigError> {
        let mut policy: Self = read(text, source)?.unwrap_or_default();
        let default = Self::default();
        if policy.name == default.name && policy.in_full() != default.in_full() {
            policy.name = CUSTOM.into();
        }
        Ok(policy)
    }

    /// The same policy with all that it masks in its lists: what a later version masks by default changes nothing of it.
    #[must_use]
    pub fn in_full(&self) -> Self {
        let mut policy = self.clone();
        if std::mem::take(&mut policy.defaults) {
            put_before(&mut policy.headers.mask, SECRET_HEADERS.map(str::to_owned));
            put_before(&mut policy.paths.classes.mask, SECRET_CLASSES);
            put_before(&mut policy.paths.behind.mask, SECRET_BEHIND.map(str::to_owned));
        }
        policy
    }

    /// The policy in full as YAML, all keys, as tapes carry it.
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(&self.in_full()).unwrap_or_default()
    }
}

/// A list that begins with the default ones, each of which it has once.
fn put_before<T: PartialEq, const N: usize>(list: &mut Vec<T>, defaults: [T; N]) {
    list.retain(|own| !defaults.contains(own));
    list.splice(..0, defaults);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_default_is_called_default() {
        for (yaml, name) in
            [("", "default"), ("name: x\n", "x"), ("bodies: keep\n", "custom"), ("bodies: mask\n", "default")]
        {
            let policy = RedactPolicy::from_yaml(yaml, "p").unwrap();
            assert_eq!(policy.name, name, "{yaml}");
            assert_eq!(RedactPolicy::from_yaml(&policy.to_yaml(), "p").unwrap(), policy.in_full());
        }
    }

    /// Nothing is masked less because something else is masked, too; and what a tape carries of a policy is that policy.
    #[test]
    fn lists_begin_with_the_default_ones() {
        let default = RedactPolicy::default().in_full();
        for yaml in [
            "headers: {mask: ['*foo*']}\n",
            "headers: {mask: ['*foo*', baggage]}\npaths: {classes: {mask: [hex, email]}, behind: {mask: [door]}}\n",
            "paths: {classes: {keep: [email]}, behind: {keep: [auth]}}\n",
            "defaults: true\nheaders: {keep: [baggage]}\n",
        ] {
            let policy = RedactPolicy::from_yaml(yaml, "p").unwrap().in_full();
            let has = |names: &[String], more: &[String]| more.iter().all(|name| names.contains(name));
            assert!(has(&policy.headers.mask, &default.headers.mask), "{yaml}");
            assert!(has(&policy.paths.behind.mask, &default.paths.behind.mask), "{yaml}");
            assert!(policy.paths.classes.mask.starts_with(&default.paths.classes.mask), "{yaml}");
            assert_eq!(policy.headers.mask.iter().filter(|name| *name == "baggage").count(), 1, "{yaml}");
            let again = RedactPolicy::from_yaml(&policy.to_yaml(), "p").unwrap();
            assert_eq!((again.to_yaml(), &again.in_full()), (policy.to_yaml(), &policy), "{yaml}");
        }
        let own = RedactPolicy::from_yaml("defaults: false\nheaders: {mask: ['*foo*']}\n", "p").unwrap().in_full();
        assert_eq!((own.headers.mask, own.paths.behind.mask), (vec!["*foo*".to_owned()], Vec::new()));
        assert_eq!((own.paths.classes.mask, own.bodies, own.name.as_str()), (Vec::new(), Treatment::Mask, CUSTOM));
    }
}
