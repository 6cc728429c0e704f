//! Where samples go and how: by the command line, else by the configuration.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use redtape_core::config::RemoteWriteConfig;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::args::RemoteWriteArgs;
use super::samples::End;
use crate::failure::{Failure, Kind, Result};
use crate::url::without_credentials;

/// The key of the URL.
const KEY: &str = "redtape.remote_write.url";

/// A receiver of samples.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// For one answer.
    pub(super) timeout: Duration,
    /// For all tries of one request.
    pub(super) retry: Duration,
    /// What series are told in the end.
    pub(super) end: End,
}

impl Target {
    /// What the command line asks for, which leaves open what the configuration says.
    ///
    /// # Errors
    ///
    /// The URL or a header cannot be used, or there is no URL.
    pub(crate) fn given(args: &RemoteWriteArgs, config: &RemoteWriteConfig) -> Result<Option<Self>> {
        let (url, place) = match &args.remote_write {
            None => return Ok(None),
            Some(Some(url)) => (url, "--remote-write"),
            Some(None) if config.url.is_empty() => {
                let message =
                    format!("--remote-write: {KEY} is not set; give a URL such as http://127.0.0.1:9090/api/v1/write");
                return Err(Failure::message(Kind::Usage, message));
            }
            Some(None) => (&config.url, KEY),
        };
        Ok(Some(Self {
            url: parse(url, place)?,
            headers: headers(&config.headers, &args.remote_write_header)?,
            timeout: args.remote_write_timeout.unwrap_or(config.timeout).0,
            retry: args.remote_write_retry.unwrap_or(config.retry).0,
            end: if args.remote_write_stale { End::StaysAndGoes } else { End::Stays },
        }))
    }

    /// What the configuration alone asks for: the receiver of a live run, whose series end when it does.
    ///
    /// # Errors
    ///
    /// The URL or a header cannot be used.
    pub(crate) fn configured(config: &RemoteWriteConfig) -> Result<Option<Self>> {
        if config.url.is_empty() {
            return Ok(None);
        }
        if config.interval.0.is_zero() {
            let message = "redtape.remote_write.interval: without a distance, samples have no end";
            return Err(Failure::message(Kind::Usage, message));
        }
        Ok(Some(Self {
            url: parse(&config.url, KEY)?,
            headers: headers(&config.headers, &[])?,
            timeout: config.timeout.0,
            retry: config.retry.0,
            end: End::Goes,
        }))
    }
}

fn parse(text: &str, place: &str) -> Result<Url> {
    let wrong = |why: &dyn Display| {
        let message = format!("{place}: {why}: give a URL such as http://127.0.0.1:9090/api/v1/write");
        Failure::message(Kind::Usage, message)
    };
    let url = Url::parse(text).map_err(|error| wrong(&error))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(wrong(&format!("`{}` is neither http:// nor https://", without_credentials(text)))),
    }
}

/// The headers of the configuration, and over them those of the command line.
///
/// # Errors
///
/// The one that cannot be a header. Its value is not told: it may be secret.
fn headers(configured: &BTreeMap<String, String>, given: &[(String, String)]) -> Result<HeaderMap> {
    let mut all = HeaderMap::new();
    for (name, value) in configured.iter().chain(given.iter().map(|(name, value)| (name, value))) {
        let (Ok(key), Ok(mut value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) else {
            let message =
                format!("the header `{name}` of remote write cannot be sent: its name or value is no header's");
            return Err(Failure::message(Kind::Usage, message));
        };
        value.set_sensitive(true);
        all.insert(key, value);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use redtape_core::config::Config;

    use super::*;

    fn config(yaml: &str) -> RemoteWriteConfig {
        Config::from_yaml(yaml, "c.yml").unwrap().0.redtape.remote_write
    }

    fn args(url: Option<&str>, headers: &[(&str, &str)]) -> RemoteWriteArgs {
        RemoteWriteArgs {
            remote_write: Some(url.map(str::to_owned)),
            remote_write_header: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            remote_write_timeout: None,
            remote_write_retry: Some("7s".parse().unwrap()),
            remote_write_stale: false,
        }
    }

    #[test]
    fn urls_are_checked_before_anything_is_sent() {
        for (text, part) in [
            ("localhost:9090", "`localhost:9090` is neither http:// nor https://"),
            ("9090", "relative URL without a base"),
            ("http://", "empty host"),
        ] {
            let error = Target::given(&args(Some(text), &[]), &config("")).unwrap_err().to_string();
            assert!(error.starts_with("--remote-write: ") && error.contains(part), "{text}: {error}");
        }
        assert!(parse("http://user:secret@127.0.0.1:9090/api/v1/write", KEY).is_ok());
        let error = Target::given(&args(None, &[]), &config("")).unwrap_err().to_string();
        assert!(error.contains("redtape.remote_write.url is not set"), "{error}");
        let error = Target::configured(&config("redtape: {remote_write: {url: 'a:1'}}")).unwrap_err().to_string();
        assert!(error.starts_with("redtape.remote_write.url: `a:1` is neither"), "{error}");
    }

    #[test]
    fn a_header_that_is_none_is_told_without_its_value() {
        let error = headers(&BTreeMap::new(), &[("Bad Name".into(), "secret".into())]).unwrap_err().to_string();
        assert_eq!(error, "the header `Bad Name` of remote write cannot be sent: its name or value is no header's");
    }

    #[test]
    fn the_command_line_goes_over_the_configuration() {
        const FILE: &str =
            "redtape: {remote_write: {url: 'http://file/w', headers: {a: file, b: file}, timeout: 3s, retry: 4s}}";
        let target = Target::given(&args(None, &[("b", "cli")]), &config(FILE)).unwrap().unwrap();
        let headers = ["a", "b"].map(|name| target.headers[name].to_str().unwrap());
        assert_eq!((target.url.as_str(), headers, target.end), ("http://file/w", ["file", "cli"], End::Stays));
        assert_eq!([target.timeout, target.retry].map(|time| time.as_secs()), [3, 7]);
        let given = Target::given(&args(Some("http://cli/w"), &[]), &config(FILE)).unwrap().unwrap();
        assert_eq!(given.url.as_str(), "http://cli/w");
        let live = Target::configured(&config(FILE)).unwrap().unwrap();
        assert_eq!((live.url.as_str(), live.retry.as_secs(), live.end), ("http://file/w", 4, End::Goes));
        assert!(Target::configured(&config("")).unwrap().is_none());
    }
}
