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
    /// The names of fields whose values are masked.
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
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PathPolicy {
    /// Segments that look like one of these are masked.
    pub classes: Vec<PathClass>,
    /// Of paths that one of these patterns fits, the segments at placeholders are masked: `/users/{name}/files/*`.
    pub patterns: Vec<String>,
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
    pub(super) const fn class(self) -> Class {
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

/// The name of a policy that is not the default and does not say its name.
const CUSTOM: &str = "custom";

impl Default for RedactPolicy {
    fn default() -> Self {
        Self {
            name: "default".into(),
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
        Self { mask: SECRET_HEADERS.map(str::to_owned).to_vec(), keep: Vec::new(), others: Treatment::Keep }
    }
}

impl Default for ValuePolicy {
    fn default() -> Self {
        Self { values: Treatment::Mask, keep: Vec::new() }
    }
}

impl Default for PathPolicy {
    fn default() -> Self {
        let classes = vec![PathClass::Email, PathClass::Token, PathClass::PrefixedId, PathClass::Long];
        Self { classes, patterns: Vec::new() }
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
        if policy.name == default.name && policy != default {
            policy.name = CUSTOM.into();
        }
        Ok(policy)
    }

    /// The policy as YAML, all keys, as tapes carry it.
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).unwrap_or_default()
    }
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
            assert_eq!(RedactPolicy::from_yaml(&policy.to_yaml(), "p").unwrap(), policy);
        }
    }
}
