//! A configuration as it was given: what a tape carries of it, so that a replay goes by the same.

use std::collections::BTreeMap;

use super::expand::expand;
use super::load::{ConfigError, Warning};
use super::redact::{is_secret_variable, redact_secrets};
use super::root::Config;
use crate::tape::Meta;

/// The key of the YAML text among the facts of a tape.
const CONFIG: &str = "config";
/// What stands before the name of a variable there.
const ENV: &str = "env.";

/// The text of a configuration file, and the environment variables that stand for keys of it.
///
/// On a tape it is facts from outside ([`Body::Enrich`](crate::Body::Enrich)) under the keys `config` and `env.NAME`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigText {
    /// The file; empty if there is none.
    pub yaml: String,
    /// The variables.
    pub env: BTreeMap<String, String>,
}

impl ConfigText {
    /// What a tape carries of the file `text`, whose name is `source`, and of the variables in `env`: the file with its
    /// placeholders filled in and without secrets, and those of the variables that the engine may go by: Beyla's and the
    /// sampler's, but for those that may hold secrets. A tape is for others to see.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a placeholder stands for a variable that is not set.
    pub fn for_tape(text: &str, source: &str, env: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let goes_by = |name: &str| {
            ["BEYLA_", "OTEL_EBPF_", "OTEL_TRACES_SAMPLER"].iter().any(|prefix| name.starts_with(prefix))
                && !name.ends_with("_CONFIG_PATH")
                && !is_secret_variable(name)
        };
        let yaml = redact_secrets(&expand(text, source, env)?);
        let env = env.iter().filter(|(name, _)| goes_by(name)).map(|(name, value)| (name.clone(), value.clone()));
        Ok(Self { yaml, env: env.collect() })
    }

    /// The configuration among the facts of a tape; `None` if there is none.
    pub fn from_facts(facts: &[(String, String)]) -> Option<Self> {
        let (_, yaml) = facts.iter().find(|(key, _)| key == CONFIG)?;
        let env = facts.iter().filter_map(|(key, value)| Some((key.strip_prefix(ENV)?.to_owned(), value.clone())));
        Some(Self { yaml: yaml.clone(), env: env.collect() })
    }

    /// The one that the events of a tape were made by.
    pub fn of_meta(meta: &Meta) -> Self {
        let env = meta.extra.iter().filter_map(|(key, value)| Some((key.strip_prefix(ENV)?.to_owned(), value.clone())));
        Self { yaml: meta.config.clone(), env: env.collect() }
    }

    /// Makes it the one that the events of a tape are made by.
    pub fn put_into(&self, meta: &mut Meta) {
        meta.config.clone_from(&self.yaml);
        meta.extra.retain(|(key, _)| !key.starts_with(ENV));
        meta.extra.extend(self.to_facts().into_iter().filter(|(key, _)| key != CONFIG));
    }

    /// As facts of a tape.
    pub fn to_facts(&self) -> Vec<(String, String)> {
        let env = self.env.iter().map(|(name, value)| (format!("{ENV}{name}"), value.clone()));
        std::iter::once((CONFIG.to_owned(), self.yaml.clone())).chain(env).collect()
    }

    /// Reads it; `source` is the file's name, for messages.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the file or a variable cannot be used.
    pub fn load(&self, source: &str) -> Result<(Config, Vec<Warning>), ConfigError> {
        let (mut config, mut warnings) = Config::from_yaml(&self.yaml, source)?;
        warnings.extend(config.apply_env(&self.env)?);
        Ok((config, warnings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tape_has_what_the_engine_goes_by_and_no_secret() {
        let env = [
            ("BEYLA_OPEN_PORT", "8080"),
            ("BEYLA_CONFIG_PATH", "/etc/beyla.yml"),
            ("BEYLA_OTEL_EXPORTER_HEADERS", "authorization=x"),
            ("OTEL_EBPF_SERVICE_NAME", "shop"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=x"),
            ("PATH", "/bin"),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let text = ConfigText::for_tape("routes: {unmatched: path}", "file", &env.into()).unwrap();
        assert_eq!(text.env.keys().collect::<Vec<_>>(), ["BEYLA_OPEN_PORT", "OTEL_EBPF_SERVICE_NAME"]);
        let facts = text.to_facts();
        assert_eq!(ConfigText::from_facts(&facts).as_ref(), Some(&text));
        assert_eq!(text.load("file").unwrap().0.service_name.as_deref(), Some("shop"));
        assert_eq!(ConfigText::from_facts(&facts[1..]), None);
        let written = "otel_traces_export: {headers: {a: secret}}\nopen_port: 1 # one\n";
        let kept = "otel_traces_export: {headers: {a: REDACTED}}\nopen_port: 1 # one\n";
        assert_eq!(ConfigText::for_tape(written, "file", &BTreeMap::new()).unwrap().yaml, kept);
        let mut meta = Meta { extra: vec![("env.OLD".into(), "x".into())], ..Meta::default() };
        text.put_into(&mut meta);
        assert_eq!(ConfigText::of_meta(&meta), text);
    }
}
