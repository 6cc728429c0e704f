//! Secrets in a configuration file: they never get on a tape.

use super::tree::Tree;

/// What stands for a secret.
const REDACTED: &str = "REDACTED";

/// Words in the names of keys and variables whose values are secrets.
const SECRET: [&str; 10] =
    ["auth", "cookie", "credential", "key", "passphrase", "passwd", "password", "private", "secret", "token"];

/// Words in the names of variables whose values may have secrets in them.
const PLACES: [&str; 3] = ["endpoint", "header", "url"];

/// Whether an environment variable may hold a secret, by its name.
pub(crate) fn is_secret_variable(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET.iter().chain(&PLACES).any(|word| name.contains(word))
}

/// `text`, a configuration file, with `REDACTED` in place of the values of secret keys (all `headers` among them) and of the
/// credentials in endpoints. All else, comments too, stays as it is. A text that is no YAML has no configuration, and so no
/// secret that could be told: of it, nothing is left.
pub fn redact_secrets(text: &str) -> String {
    let Some(tree) = Tree::parse(text) else { return String::new() };
    let (mut redacted, mut copied) = (String::with_capacity(text.len()), 0);
    for (path, at) in tree.values() {
        let Some(value) = text.get(at.clone()).filter(|_| at.start >= copied) else { continue };
        let Some(shown) = shown(path, value) else { continue };
        redacted.push_str(text.get(copied..at.start).unwrap_or_default());
        redacted.push_str(&shown);
        copied = at.end;
    }
    redacted.push_str(text.get(copied..).unwrap_or_default());
    redacted
}

/// `text`, a configuration file, without its comments. Nothing is left of one of which that would make another configuration.
pub(crate) fn without_comments(text: &str) -> String {
    let Some(tree) = Tree::parse(text) else { return String::new() };
    let (mut left, mut from) = (String::with_capacity(text.len()), 0);
    let ends = tree.values().map(|(_, at)| at).chain(std::iter::once(text.len()..text.len()));
    for at in ends.collect::<Vec<_>>() {
        // Between two values there are keys, punctuation and comments.
        let Some(between) = text.get(from..at.start) else { continue };
        for line in between.split_inclusive('\n') {
            let begins = |&(at, _): &(usize, &str)| {
                line.get(..at).is_some_and(|before| !before.ends_with(|char: char| !char.is_whitespace()))
            };
            let comment = line.match_indices('#').find(begins).map(|(at, _)| at);
            left.push_str(line.get(..comment.unwrap_or(line.len())).unwrap_or_default());
            if comment.is_some() {
                left.truncate(left.trim_end_matches([' ', '\t']).len());
                left.push_str(line.get(line.trim_end_matches(['\r', '\n']).len()..).unwrap_or_default());
            }
        }
        left.push_str(text.get(at.clone()).unwrap_or_default());
        from = at.end;
    }
    let same = Tree::parse(&left)
        .is_some_and(|other| other.values().map(|(path, _)| path).eq(tree.values().map(|(path, _)| path)));
    if same { left } else { String::new() }
}

/// What is shown of the value of the key at `path`, if that is not all of it.
fn shown(path: &str, value: &str) -> Option<String> {
    let path = path.to_lowercase();
    let key = path.rsplit('.').next().unwrap_or_default();
    if path.contains(".headers.") || SECRET.iter().any(|word| key.contains(word)) {
        // A block of lines goes on to where the next key stands.
        let end = value.get(value.trim_end().len()..).unwrap_or_default();
        return Some(format!("{REDACTED}{end}"));
    }
    if !["endpoint", "url"].contains(&key) {
        return None;
    }
    // Without a scheme it is of no use, but a secret all the same.
    let quotes = value.len() - value.trim_start_matches(['"', '\'']).len();
    let (before, after) = value.split_at_checked(value.find("://").map_or(quotes, |at| at + 3))?;
    let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
    let (credentials, _) = authority.rsplit_once('@')?;
    Some(format!("{before}{REDACTED}{}", after.strip_prefix(credentials)?))
}

#[cfg(test)]
mod tests {
    use super::{redact_secrets, without_comments};
    use crate::config::Config;

    #[test]
    fn secrets_go_and_all_else_stays() {
        const TEXT: &str = "# of the shop: naïve\notel_traces_export:
  endpoint: http://user:pa55@tempo:4317/x   # with a name
  headers: {Authorization: Basic s3cret, \"x-scope\": 's3cret # too'} # kept
otel_metrics_export:
  headers:
    X-One: s3cret
    # a comment
    X-Two: \"s3cret \\\" three\"
    X-Three: |
      s3cret
      s3cret again
    X-Four: >-
      s3cret
  endpoint: \"http://s3cret@tempo\"
redtape: {remote_write: {url: 'http://me:s3cret@prometheus/api', headers: {a: s3cret}}}
grafana:
  otlp: {cloud_api_key: s3cret, cloud_zone: eu}
service_name: shop
";
        const EXPECTED: &str = "# of the shop: naïve\notel_traces_export:
  endpoint: http://REDACTED@tempo:4317/x   # with a name
  headers: {Authorization: REDACTED, \"x-scope\": REDACTED} # kept
otel_metrics_export:
  headers:
    X-One: REDACTED
    # a comment
    X-Two: REDACTED
    X-Three: |
      REDACTED
    X-Four: >-
      REDACTED
  endpoint: \"http://REDACTED@tempo\"
redtape: {remote_write: {url: 'http://REDACTED@prometheus/api', headers: {a: REDACTED}}}
grafana:
  otlp: {cloud_api_key: REDACTED, cloud_zone: eu}
service_name: shop
";
        assert_eq!(redact_secrets(TEXT), EXPECTED);
        let (config, _) = Config::from_yaml(&redact_secrets(TEXT), "c.yml").unwrap();
        assert_eq!(config.otel_metrics_export.headers["X-Four"], "REDACTED");
    }

    #[test]
    fn an_endpoint_without_a_scheme_may_have_credentials() {
        for (endpoint, expected) in [
            ("user:s3cret@tempo:4317 # me@home", "REDACTED@tempo:4317 # me@home"),
            ("\"user:s3cret@tempo\"", "\"REDACTED@tempo\""),
            ("tempo:4317 # me@home", "tempo:4317 # me@home"),
        ] {
            let text = |endpoint| format!("otel_traces_export:\n  endpoint: {endpoint}\n");
            assert_eq!(redact_secrets(&text(endpoint)), text(expected));
        }
    }

    #[test]
    fn what_has_no_secrets_stays_as_it_is() {
        for text in ["", "# nothing\n", "routes:\n  patterns: [/a]\n", "open_port: 80 # a\r\nservice_name: b\r\n"] {
            assert_eq!(redact_secrets(text), text);
        }
        assert_eq!(redact_secrets("headers: [\n token: x"), "");
    }

    #[test]
    fn comments_go_and_values_stay() {
        for (text, expected) in [
            ("# a\n\nopen_port: 80 # b # c\r\n", "\n\nopen_port: 80\r\n"),
            ("a: \"x # y\" # b\nc: d#e\n  # f", "a: \"x # y\"\nc: d#e\n"),
            ("a: |  # b\n  x # y\n  # z\nb: >-\n  w\n# c\n", "a: |\n  x # y\n  # z\nb: >-\n  w\n\n"),
            ("a: [b, # c\n  'd # e']\n", "a: [b,\n  'd # e']\n"),
            ("it's: 1 # 'a\nb: 2 # it's\n", "it's: 1\nb: 2\n"),
            // Too odd to be taken apart.
            ("'a # b': 1\n", ""),
            ("a: [", ""),
        ] {
            assert_eq!(without_comments(text), expected, "{text}");
        }
    }
}
