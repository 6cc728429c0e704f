//! A configuration as it was given: what a tape carries of it, so that a replay goes by the same.

use std::collections::BTreeMap;

use super::load::{ConfigError, Warning};
use super::root::Config;
use crate::tape::Meta;

/// The key of the YAML text among the facts of a tape.
const CONFIG: &str = "config";
/// What stands before the name of a variable there.
const ENV: &str = "env.";
/// Variables whose names have one of these may hold secrets, and say nothing that the engine goes by.
const SECRET: [&str; 7] = ["AUTH", "CREDENTIAL", "ENDPOINT", "HEADER", "KEY", "PASSWORD", "TOKEN"];

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
    /// The configuration in `yaml` without the headers of exporters, and those of the variables in `env` that the engine may go
    /// by: Beyla's and the sampler's, but for those that may hold secrets. A tape is for others to see.
    pub fn new(yaml: &str, env: &BTreeMap<String, String>) -> Self {
        let goes_by = |name: &str| {
            ["BEYLA_", "OTEL_EBPF_", "OTEL_TRACES_SAMPLER"].iter().any(|prefix| name.starts_with(prefix))
                && !name.ends_with("_CONFIG_PATH")
                && !SECRET.iter().any(|word| name.contains(word))
        };
        let env = env.iter().filter(|(name, _)| goes_by(name)).map(|(name, value)| (name.clone(), value.clone()));
        Self { yaml: without_headers(yaml), env: env.collect() }
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

/// A configuration with every value of a key `headers` made empty. What is no configuration, or has them where they are not
/// found, is left out altogether: rather no configuration than a secret.
fn without_headers(yaml: &str) -> String {
    let mut text = String::with_capacity(yaml.len());
    let mut lines = yaml.lines().peekable();
    while let Some(line) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        let key = line.trim_start().trim_start_matches("- ");
        let Some(value) = ["headers:", "\"headers\":", "'headers':"].iter().find_map(|name| key.strip_prefix(name))
        else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let head = line.len() - value.len();
        text.push_str(line.get(..head).unwrap_or_default());
        text.push_str(" {}\n");
        // What belongs to it stands further in. Of what stands in braces, the last one may not.
        let inside = |line: &&str| {
            let trimmed = line.trim_start();
            trimmed.is_empty() || trimmed.starts_with('}') || line.len() - trimmed.len() > indent
        };
        while lines.next_if(inside).is_some() {}
    }
    let secrets = |config: &Config| {
        let exporters = [&config.otel_traces_export.headers, &config.otel_metrics_export.headers];
        exporters.iter().any(|headers| !headers.is_empty())
    };
    match (Config::from_yaml(yaml, ""), Config::from_yaml(&text, "")) {
        (Ok((before, _)), _) if !secrets(&before) => yaml.to_owned(),
        (Ok(_), Ok((after, _))) if !secrets(&after) => text,
        _ => String::new(),
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
        let text = ConfigText::new("routes: {unmatched: path}", &env.into());
        assert_eq!(text.env.keys().collect::<Vec<_>>(), ["BEYLA_OPEN_PORT", "OTEL_EBPF_SERVICE_NAME"]);
        let facts = text.to_facts();
        assert_eq!(ConfigText::from_facts(&facts).as_ref(), Some(&text));
        assert_eq!(text.load("file").unwrap().0.service_name.as_deref(), Some("shop"));
        assert_eq!(ConfigText::from_facts(&facts[1..]), None);
        for (written, kept) in [
            (
                "otel_traces_export:\n  headers:\n    a: secret\n\n    b: secret\n  endpoint: http://t\nopen_port: 1\n",
                "http://t",
            ),
            ("otel_traces_export:\n  headers: {a: secret,\n    b: secret\n  }\nopen_port: 1\n", "open_port: 1"),
            ("otel_traces_export: {headers: {a: secret}}\nopen_port: 1", ""),
            ("# headers: of nothing\nopen_port: 1", "# headers: of nothing\nopen_port: 1"),
        ] {
            let text = ConfigText::new(written, &BTreeMap::new());
            assert!(!text.yaml.contains("secret") && text.yaml.contains(kept), "{}", text.yaml);
            assert_eq!(text.yaml.is_empty(), kept.is_empty());
        }
        let mut meta = Meta { extra: vec![("env.OLD".into(), "x".into())], ..Meta::default() };
        text.put_into(&mut meta);
        assert_eq!(ConfigText::of_meta(&meta), text);
    }
}
