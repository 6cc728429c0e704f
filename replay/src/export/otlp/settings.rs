//! Where OTLP goes and how: by the command line, else OpenTelemetry's variables, else the configuration file.

use std::fs;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use redtape_core::config::{Compression, Config, OtlpSignal, Period, Protocol};

use crate::export::OtlpArgs;
use crate::export::advice::Trust;
use crate::export::send::{Backoff, Tls};
use crate::failure::{Failure, Kind, Result};
use crate::tls;
use crate::url::without_credentials;

/// Where certificates are named.
pub(super) const TRUST: Trust = Trust {
    issuer: "--otlp-certificate FILE (OTEL_EXPORTER_OTLP_CERTIFICATE)",
    own: Some("--otlp-client-certificate FILE (OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE)"),
};

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
}

impl Signal {
    /// The path of OTLP over HTTP below an endpoint of all signals.
    const fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }

    /// What its units are called.
    pub(crate) const fn units(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Metrics => "points of metrics",
        }
    }

    /// The flag of its endpoint.
    const fn flag(self) -> &'static str {
        match self {
            Self::Traces => "--otlp-traces",
            Self::Metrics => "--otlp-metrics",
        }
    }
}

/// How a receiver is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// gRPC.
    Grpc,
    /// HTTP with protobuf.
    Protobuf,
    /// HTTP with JSON.
    Json,
}

/// A receiver of one signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receiver {
    pub(crate) signal: Signal,
    /// Of HTTP, all of it; of gRPC, scheme, host and port.
    pub(crate) url: String,
    pub(crate) wire: Wire,
    pub(crate) headers: HeaderMap,
    /// Of one request.
    pub(crate) timeout: Duration,
    pub(crate) gzip: bool,
    pub(super) tls: Tls,
    pub(super) backoff: Backoff,
}

const TRACES_ENDPOINT: &str = "otel_traces_export.endpoint";
const METRICS_ENDPOINT: &str = "otel_metrics_export.endpoint";

/// The receivers that the command line asks for, in `config`, over which the environment has gone already.
///
/// # Errors
///
/// A URL, a header or a file that cannot be used: where it stands, and what to write.
pub(crate) fn receivers(args: &OtlpArgs, config: &Config) -> Result<Vec<Receiver>> {
    let signals = [Signal::Traces, Signal::Metrics];
    let own = |signal| match signal {
        Signal::Traces => args.otlp_traces.as_deref(),
        Signal::Metrics => args.otlp_metrics.as_deref(),
    };
    let configured = |signal| match signal {
        Signal::Traces => (config.otel_traces_export.endpoint.as_str(), TRACES_ENDPOINT),
        Signal::Metrics => (config.otel_metrics_export.endpoint.as_str(), METRICS_ENDPOINT),
    };
    let none_configured = signals.iter().all(|&signal| configured(signal).0.is_empty());
    let endpoint = |signal: Signal| -> Option<(String, &'static str)> {
        match (own(signal), &args.otlp) {
            (Some(url), _) => Some((url.to_owned(), signal.flag())),
            (None, Some(Some(base))) => Some((format!("{}{}", base.trim_end_matches('/'), signal.path()), "--otlp")),
            (None, Some(None)) if none_configured => {
                let port = if protocol(args, config, signal) == Protocol::Grpc { 4317 } else { 4318 };
                Some((format!("http://localhost:{port}{}", signal.path()), "--otlp"))
            }
            (None, Some(None)) => {
                Some(configured(signal)).map(|(url, key)| (url.to_owned(), key)).filter(|(url, _)| !url.is_empty())
            }
            (None, None) => None,
        }
    };
    let all = signals.into_iter().filter_map(|signal| Some((signal, endpoint(signal)?)));
    all.map(|(signal, (url, place))| receiver(signal, &url, place, args, config)).collect()
}

/// What the configuration alone asks for: the receivers of a live run.
///
/// # Errors
///
/// As [`receivers`].
pub(crate) fn configured(config: &Config) -> Result<Vec<Receiver>> {
    let any = [&config.otel_traces_export.endpoint, &config.otel_metrics_export.endpoint];
    if any.iter().all(|endpoint| endpoint.is_empty()) {
        return Ok(Vec::new());
    }
    receivers(&OtlpArgs { otlp: Some(None), ..OtlpArgs::default() }, config)
}

/// The first key whose endpoint no export could use, and what an export would say of it.
pub(crate) fn endpoint_fault(config: &Config) -> Option<(&'static str, String)> {
    let Config { otel_traces_export: traces, otel_metrics_export: metrics, redtape, .. } = config;
    let endpoints = [
        (TRACES_ENDPOINT, &traces.endpoint, redtape.otlp.traces.insecure),
        (METRICS_ENDPOINT, &metrics.endpoint, redtape.otlp.metrics.insecure),
    ];
    let mut given = endpoints.into_iter().filter(|(_, endpoint, _)| !endpoint.is_empty());
    given.find_map(|(key, endpoint, insecure)| Some((key, parse_url(endpoint, insecure).err()?)))
}

fn protocol(args: &OtlpArgs, config: &Config, signal: Signal) -> Protocol {
    args.otlp_protocol.unwrap_or(match signal {
        Signal::Traces => config.otel_traces_export.protocol,
        Signal::Metrics => config.otel_metrics_export.protocol,
    })
}

fn receiver(signal: Signal, url: &str, place: &str, args: &OtlpArgs, config: &Config) -> Result<Receiver> {
    let traces = &config.otel_traces_export;
    let (otlp, headers, skip_verify) = match signal {
        Signal::Traces => (&config.redtape.otlp.traces, &traces.headers, traces.insecure_skip_verify),
        Signal::Metrics => {
            let metrics = &config.otel_metrics_export;
            (&config.redtape.otlp.metrics, &metrics.headers, metrics.insecure_skip_verify)
        }
    };
    let (uri, has_path) = parse_url(url, otlp.insecure).map_err(|message| usage(format!("{place}: {message}")))?;
    let wire = match protocol(args, config, signal) {
        Protocol::Guess if uri.port_u16() == Some(4317) => Wire::Grpc,
        Protocol::Guess | Protocol::HttpProtobuf => Wire::Protobuf,
        Protocol::Grpc => Wire::Grpc,
        Protocol::HttpJson => Wire::Json,
    };
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let origin = format!("{}://{authority}", uri.scheme_str().unwrap_or("http"));
    let url = match (wire, uri.path_and_query()) {
        (Wire::Grpc, _) => origin,
        // Nobody receives at the root; who does may write the slash.
        (_, Some(path)) if has_path => format!("{origin}{path}"),
        _ => format!("{origin}{}", signal.path()),
    };
    let mut all = HeaderMap::new();
    let given = args.otlp_header.iter().map(|(key, value)| (key, value));
    for (key, value) in headers.iter().chain(given) {
        let header = (HeaderName::try_from(key.as_str()), HeaderValue::try_from(value.as_str()));
        let (Ok(name), Ok(mut value)) = header else {
            return Err(usage(format!(
                "the header `{key}` of OTLP requests cannot be sent: its name or value is no header's"
            )));
        };
        value.set_sensitive(true);
        all.insert(name, value);
    }
    let period = |period: Option<Period>, default: Duration| period.map_or(default, |Period(duration)| duration);
    Ok(Receiver {
        signal,
        url,
        wire,
        headers: all,
        timeout: args.otlp_timeout.unwrap_or(otlp.timeout.0),
        gzip: args.otlp_compression.unwrap_or(otlp.compression) == Compression::Gzip,
        tls: tls(args, otlp, skip_verify)?,
        backoff: Backoff {
            initial: period(traces.backoff_initial_interval, Duration::from_millis(500)),
            longest: period(traces.backoff_max_interval, Duration::from_secs(5)),
            elapsed: args.otlp_retry.unwrap_or(period(traces.backoff_max_elapsed_time, Duration::from_secs(30))),
        },
    })
}

/// A URL, and whether it has a path. Without a scheme, `insecure` decides whether it is `http` or `https`.
///
/// # Errors
///
/// What is wrong with it, and what to write.
fn parse_url(url: &str, insecure: Option<bool>) -> std::result::Result<(Uri, bool), String> {
    let url = url.trim();
    // As it was written, without the path that it got.
    let shown =
        [Signal::Traces, Signal::Metrics].iter().find_map(|signal| url.strip_suffix(signal.path())).unwrap_or(url);
    let shown = without_credentials(shown);
    let scheme = match (url.contains("://"), insecure) {
        (true, _) => "",
        (false, Some(true)) => "http://",
        (false, Some(false)) => "https://",
        (false, None) => {
            return Err(format!(
                "`{shown}` is no URL: write `http://` or `https://`, host and port, as in http://localhost:4317"
            ));
        }
    };
    let full = format!("{scheme}{url}");
    let uri: Uri = full.parse().map_err(|error| format!("`{shown}` is no URL: {error}"))?;
    let usable = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty());
    if !usable {
        return Err(format!("`{shown}`: OTLP goes to http:// or https:// and a host, as in http://localhost:4317"));
    }
    let behind = full.split_once("://").map_or("", |(_, rest)| rest);
    Ok((uri, behind.contains('/')))
}

fn tls(args: &OtlpArgs, otlp: &OtlpSignal, skip_verify: bool) -> Result<Tls> {
    let read = |path: &str| {
        fs::read(path)
            .map_err(|error| usage(format!("{path}, which OTLP requests need for TLS, cannot be read: {error}")))
    };
    let choose = |flag: &Option<String>, own: &Option<String>| flag.clone().or_else(|| own.clone());
    let certificate = choose(&args.otlp_client_certificate, &otlp.client_certificate);
    let key = choose(&args.otlp_client_key, &otlp.client_key);
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => {
            let identity = (read(&certificate)?, read(&key)?);
            tls::check_identity(&identity.0, &identity.1)
                .map_err(|error| usage(format!("{certificate} and {key}: {error}")))?;
            Some(identity)
        }
        (None, None) => None,
        _ => {
            return Err(usage(
                "a client certificate and its key are needed both, or neither: --otlp-client-certificate and \
                 --otlp-client-key (OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and _KEY)"
                    .into(),
            ));
        }
    };
    let roots = |path: String| {
        let roots = read(&path)?;
        tls::check_roots(&roots).map_err(|error| usage(format!("{path}: {error}")))?;
        Ok(roots)
    };
    Ok(Tls {
        roots: choose(&args.otlp_certificate, &otlp.certificate).map(roots).transpose()?,
        identity,
        skip_verify: skip_verify || args.otlp_insecure_skip_verify,
    })
}

fn usage(message: String) -> Failure {
    Failure::message(Kind::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str, env: &[(&str, &str)]) -> Config {
        let (mut config, _) = Config::from_yaml(yaml, "c.yml").unwrap();
        config.apply_env(&env.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()).unwrap();
        config
    }

    fn base(url: &str) -> OtlpArgs {
        OtlpArgs { otlp: Some(Some(url.into())), ..OtlpArgs::default() }
    }

    /// Signal, protocol and URL of each receiver.
    fn urls(args: &OtlpArgs, config: &Config) -> Vec<String> {
        let receivers = receivers(args, config).unwrap();
        receivers.iter().map(|receiver| format!("{:?} {:?} {}", receiver.signal, receiver.wire, receiver.url)).collect()
    }

    #[test]
    fn the_port_tells_the_protocol() {
        let none = Config::default();
        assert_eq!(
            urls(&base("http://tempo:4317"), &none),
            ["Traces Grpc http://tempo:4317", "Metrics Grpc http://tempo:4317"]
        );
        for url in ["http://c:4318", "http://c:4318/"] {
            assert_eq!(
                urls(&base(url), &none),
                ["Traces Protobuf http://c:4318/v1/traces", "Metrics Protobuf http://c:4318/v1/metrics"]
            );
        }
        assert_eq!(urls(&base("https://c/otlp"), &none)[0], "Traces Protobuf https://c/otlp/v1/traces");
        let json = OtlpArgs { otlp_protocol: Some(Protocol::HttpJson), ..base("http://c:4317") };
        assert_eq!(urls(&json, &none)[0], "Traces Json http://c:4317/v1/traces");
    }

    #[test]
    fn the_endpoint_of_one_signal_is_taken_as_it_is() {
        let none = Config::default();
        let traces = |url: &str| urls(&OtlpArgs { otlp_traces: Some(url.into()), ..OtlpArgs::default() }, &none);
        assert_eq!(traces("http://c:4318/own/path?tenant=1"), ["Traces Protobuf http://c:4318/own/path?tenant=1"]);
        assert_eq!(traces("http://c:4318"), ["Traces Protobuf http://c:4318/v1/traces"]);
        assert_eq!(traces("http://c:4318/"), ["Traces Protobuf http://c:4318/"]);
        let both = OtlpArgs { otlp_metrics: Some("http://m:4317".into()), ..base("http://c:4318") };
        assert_eq!(urls(&both, &none), ["Traces Protobuf http://c:4318/v1/traces", "Metrics Grpc http://m:4317"]);
    }

    #[test]
    fn the_command_line_goes_over_the_environment_and_that_over_the_file() {
        const FILE: &str = "otel_traces_export: {endpoint: 'http://file:4317', headers: {a: file, b: file, c: file}}";
        const ENV: &[(&str, &str)] = &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:4318/base"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "b=env,c=env"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ];
        let no_url = OtlpArgs { otlp: Some(None), ..OtlpArgs::default() };
        assert_eq!(urls(&no_url, &config(FILE, &[])), ["Traces Grpc http://file:4317"]);
        assert_eq!(
            urls(&no_url, &config(FILE, ENV)),
            ["Traces Protobuf http://env:4318/base/v1/traces", "Metrics Protobuf http://env:4318/base/v1/metrics"]
        );
        let args = OtlpArgs {
            otlp_header: vec![("c".into(), "cli".into())],
            otlp_timeout: Some(Duration::from_secs(7)),
            otlp_compression: Some(Compression::None),
            ..base("http://cli:4317")
        };
        let all = receivers(&args, &config(FILE, ENV)).unwrap();
        let [traces, _] = all.as_slice() else { panic!("{all:?}") };
        let header = |key: &str| traces.headers.get(key).unwrap().to_str().unwrap();
        assert_eq!([header("a"), header("b"), header("c")], ["file", "env", "cli"]);
        assert_eq!((&*traces.url, traces.timeout, traces.gzip), ("http://cli:4317", Duration::from_secs(7), false));
        let all = receivers(&base("http://cli:4317"), &config(FILE, ENV)).unwrap();
        assert_eq!((all[0].timeout, all[0].gzip), (Duration::from_secs(2), true));
    }

    #[test]
    fn without_any_endpoint_it_is_the_usual_one() {
        let no_url = OtlpArgs { otlp: Some(None), ..OtlpArgs::default() };
        assert_eq!(urls(&no_url, &Config::default())[0], "Traces Protobuf http://localhost:4318/v1/traces");
        let grpc = OtlpArgs { otlp_protocol: Some(Protocol::Grpc), ..no_url };
        assert_eq!(urls(&grpc, &Config::default())[1], "Metrics Grpc http://localhost:4317");
        assert_eq!(receivers(&OtlpArgs::default(), &Config::default()).unwrap(), []);
        assert_eq!(configured(&Config::default()).unwrap(), []);
        assert_eq!(configured(&config("otel_metrics_export: {endpoint: 'http://m:4318'}", &[])).unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_url_is_said() {
        let error = |url: &str, env: &[(&str, &str)]| {
            receivers(&base(url), &config("", env)).map(|all| all[0].url.clone()).map_err(|error| error.to_string())
        };
        for (url, expected) in [
            ("localhost:4317", "--otlp: `localhost:4317` is no URL: write `http://` or `https://`, host and port"),
            ("run.tape", "--otlp: `run.tape` is no URL"),
            ("ftp://c", "OTLP goes to http:// or https://"),
            ("http://:4317", "and a host"),
            ("http://a b", "no URL"),
        ] {
            let error = error(url, &[]).unwrap_err();
            assert!(error.contains(expected), "{url}: {error}");
            let configured = config(&format!("otel_traces_export: {{endpoint: '{url}'}}"), &[]);
            let (key, message) = endpoint_fault(&configured).unwrap();
            let no_url = OtlpArgs { otlp: Some(None), ..OtlpArgs::default() };
            let said = receivers(&no_url, &configured).unwrap_err().to_string();
            assert_eq!(format!("{key}: {message}"), said, "a check says what an export does");
        }
        let plain = error("localhost:4318", &[("OTEL_EXPORTER_OTLP_INSECURE", "true")]);
        assert_eq!(plain.unwrap(), "http://localhost:4318/v1/traces");
        let tls = error("localhost:4317", &[("OTEL_EXPORTER_OTLP_INSECURE", "false")]);
        assert_eq!(tls.unwrap(), "https://localhost:4317");
    }

    #[test]
    fn files_of_tls_have_to_be_there() {
        let error = |args: OtlpArgs| receivers(&args, &Config::default()).unwrap_err().to_string();
        let missing = Some("/none.pem".to_owned());
        let without = error(OtlpArgs { otlp_client_key: missing.clone(), ..base("https://c") });
        assert!(without.contains("both"), "{without}");
        let unreadable = error(OtlpArgs { otlp_certificate: missing, ..base("https://c") });
        assert!(unreadable.starts_with("/none.pem"), "{unreadable}");
    }
}
