//! What a client takes, by its `Accept` and `Accept-Encoding` (RFC 9110, section 12.5).

use redtape_core::metric::TextFormat;

/// The format that a client likes best of those there are: Prometheus' own, unless OpenMetrics is asked for by its name and
/// liked at least as much.
pub(super) fn format(accept: &str) -> TextFormat {
    const OPENMETRICS: &str = "application/openmetrics-text";
    let liked =
        |names: &[&str]| choices(accept).filter(|choice| names.contains(&choice.name)).map(|choice| choice.how).max();
    match liked(&[OPENMETRICS]) {
        Some(how) if how > 0 && Some(how) >= liked(&["text/plain"]) => TextFormat::OpenMetrics,
        _ => TextFormat::Prometheus,
    }
}

/// Whether a client likes Prometheus' exposition in protobuf best: its own messages, each after its length.
pub(super) fn protobuf(accept: &str) -> bool {
    const PROTOBUF: &str = "application/vnd.google.protobuf";
    const FAMILY: &str = "io.prometheus.client.MetricFamily";
    let meant = |choice: &Choice<'_>| {
        choice.name == PROTOBUF
            && choice.parameter("proto") == Some(FAMILY)
            && choice.parameter("encoding").is_none_or(|encoding| encoding == "delimited")
    };
    let how = choices(accept).filter(meant).map(|choice| choice.how).max().unwrap_or(0);
    how > 0 && choices(accept).all(|other| other.how <= how)
}

/// Whether a client takes gzip.
pub(super) fn gzip(accept_encoding: &str) -> bool {
    choices(accept_encoding).any(|choice| choice.name == "gzip" && choice.how > 0)
}

/// One of what is listed.
struct Choice<'a> {
    name: &'a str,
    parameters: &'a str,
    /// How much it is liked, from 0 to 1000.
    how: u32,
}

impl<'a> Choice<'a> {
    fn parameter(&self, key: &str) -> Option<&'a str> {
        let mut parameters = self.parameters.split(';').filter_map(|parameter| parameter.split_once('='));
        parameters.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().trim_matches('"'))
    }
}

fn choices(list: &str) -> impl Iterator<Item = Choice<'_>> {
    list.split(',').map(|choice| {
        let (name, parameters) = choice.split_once(';').unwrap_or((choice, ""));
        let choice = Choice { name: name.trim(), parameters, how: 1000 };
        Choice { how: choice.parameter("q").map_or(1000, thousandths), ..choice }
    })
}

/// A weight such as `0.5`; 0 for what is none.
fn thousandths(weight: &str) -> u32 {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = format!("{fraction:0<3}");
    match (whole, digits.get(..3).and_then(|digits| digits.parse::<u32>().ok())) {
        ("1", Some(0)) => 1000,
        ("0", Some(thousandths)) => thousandths,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_clients_choice() {
        const PROMETHEUS_2: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
                                    q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (accept, expected) in [
            (PROMETHEUS_2, TextFormat::OpenMetrics),
            (PROMETHEUS_3, TextFormat::OpenMetrics),
            ("application/openmetrics-text", TextFormat::OpenMetrics),
            ("application/openmetrics-text;q=0", TextFormat::Prometheus),
            ("application/openmetrics-text; q=0.3, text/plain; q=0.4", TextFormat::Prometheus),
            ("application/openmetrics-text; q=nonsense", TextFormat::Prometheus),
            ("text/html,application/xhtml+xml,*/*;q=0.8", TextFormat::Prometheus),
            ("*/*", TextFormat::Prometheus),
            ("", TextFormat::Prometheus),
        ] {
            assert_eq!(format(accept), expected, "{accept}");
        }
    }

    #[test]
    fn protobuf_is_for_who_likes_it_best() {
        const PROMETHEUS_2: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
                                    application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert!(protobuf(PROMETHEUS_2));
        const FAMILY: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily";
        assert!(protobuf(FAMILY));
        for accept in ["", "*/*", "text/plain", "application/vnd.google.protobuf;q=0.5,text/plain;q=0.6"] {
            assert!(!protobuf(accept), "{accept}");
        }
        for more in ["; encoding=text", ";encoding=compact-text", ";q=0.5,text/plain;q=0.6", ";q=0"] {
            assert!(!protobuf(&format!("{FAMILY}{more}")), "{more}");
        }
        for other in [
            "application/vnd.google.protobuf",
            "application/vnd.google.protobuf;proto=other.Message;encoding=delimited",
        ] {
            assert!(!protobuf(other), "{other}");
        }
    }

    #[test]
    fn gzip_is_used_where_it_is_taken() {
        for (accept, expected) in [("gzip", true), ("br, gzip;q=0.5", true), ("gzip;q=0", false), ("", false)] {
            assert_eq!(gzip(accept), expected, "{accept}");
        }
    }
}
