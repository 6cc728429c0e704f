//! `attributes.select`: which labels a metric has, by globs over metric and attribute names.

use regex::Regex;
use thiserror::Error;

use super::label::Label;

/// One section of `attributes.select`, as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectSection {
    /// The metrics it is for: a name in the form of Prometheus or OpenTelemetry, with `*` and `?`.
    pub metric: String,
    /// Globs over attributes that the metric shall have.
    pub include: Vec<String>,
    /// Globs over attributes that it shall not have.
    pub exclude: Vec<String>,
}

/// A glob that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{glob}` is no usable pattern: use a name with `*` and `?`")]
pub struct SelectError {
    /// The glob.
    pub glob: String,
}

/// The sections of `attributes.select`, compiled.
///
/// All sections whose glob matches a metric apply to it, from the least to the most specific (the one with the most
/// characters that are no wildcards). The first `include` takes the place of the metric's default attributes, further
/// ones add to it; each `exclude` takes away.
#[derive(Clone, Debug, Default)]
pub struct Select {
    sections: Vec<Section>,
}

#[derive(Clone, Debug)]
struct Section {
    metric: Regex,
    include: Vec<Regex>,
    exclude: Vec<Regex>,
}

impl Select {
    /// Compiles `sections`.
    ///
    /// # Errors
    ///
    /// [`SelectError`] names a glob that is empty or too long to be compiled.
    pub fn new(sections: &[SelectSection]) -> Result<Self, SelectError> {
        let mut order: Vec<&SelectSection> = sections.iter().collect();
        order.sort_by_key(|section| {
            let fixed = section.metric.chars().filter(|char| !matches!(char, '*' | '?')).count();
            (fixed, &section.metric)
        });
        let globs = |globs: &[String]| globs.iter().map(|glob| name_glob(glob)).collect::<Result<Vec<_>, _>>();
        let sections = order
            .into_iter()
            .map(|section| {
                Ok(Section {
                    metric: name_glob(&section.metric)?,
                    include: globs(&section.include)?,
                    exclude: globs(&section.exclude)?,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { sections })
    }

    /// The labels of the metric `name`, ascending: of `available`, by default those of `shown`.
    pub(super) fn labels(&self, name: &str, otel_name: &str, shown: &[Label], available: &[Label]) -> Vec<Label> {
        let otel_name = otel_name.replace('.', "_");
        let mut labels = shown.to_vec();
        let mut replaced = false;
        for section in &self.sections {
            if !section.metric.is_match(name) && !section.metric.is_match(&otel_name) {
                continue;
            }
            if !section.include.is_empty() {
                if !std::mem::replace(&mut replaced, true) {
                    labels.clear();
                }
                labels.extend(available.iter().filter(|label| matches(&section.include, **label)));
            }
            labels.retain(|label| !matches(&section.exclude, *label));
        }
        labels.sort_unstable();
        labels.dedup();
        labels
    }
}

fn matches(globs: &[Regex], label: Label) -> bool {
    globs.iter().any(|glob| glob.is_match(label.name()))
}

/// A glob over names in the form of Prometheus; dots, as in OpenTelemetry's names, stand for underscores.
pub(crate) fn name_glob(glob: &str) -> Result<Regex, SelectError> {
    let error = || SelectError { glob: glob.into() };
    if glob.is_empty() {
        return Err(error());
    }
    let pattern = regex::escape(&glob.replace('.', "_")).replace(r"\*", ".*").replace(r"\?", ".");
    Regex::new(&format!("^{pattern}$")).map_err(|_| error())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AVAILABLE: [Label; 4] = [Label::ClientAddress, Label::Route, Label::ServiceName, Label::UrlPath];

    fn check(sections: &[(&str, &[&str], &[&str])], metric: (&str, &str), expected: &[Label]) {
        let own = |globs: &[&str]| globs.iter().map(|&glob| glob.to_owned()).collect();
        let sections: Vec<_> = sections
            .iter()
            .map(|(metric, include, exclude)| SelectSection {
                metric: (*metric).into(),
                include: own(include),
                exclude: own(exclude),
            })
            .collect();
        let select = Select::new(&sections).unwrap();
        let labels = select.labels(metric.0, metric.1, &[Label::Route, Label::ServiceName], &AVAILABLE);
        assert_eq!(labels, expected, "{metric:?} {sections:?}");
    }

    #[test]
    fn sections_apply_from_the_least_to_the_most_specific() {
        const SERVER: (&str, &str) = ("http_server_request_duration_seconds", "http.server.request.duration");
        const CLIENT: (&str, &str) = ("http_client_request_duration_seconds", "http.client.request.duration");
        check(&[], SERVER, &[Label::Route, Label::ServiceName]);
        check(&[("http_server_*", &["url.path"], &[])], SERVER, &[Label::UrlPath]);
        check(&[("http_server_*", &["url.path"], &[])], CLIENT, &[Label::Route, Label::ServiceName]);
        check(&[("http.server.request.duration", &[], &["http_route"])], SERVER, &[Label::ServiceName]);
        check(&[("*", &["*"], &["url_*"])], SERVER, &[Label::ClientAddress, Label::Route, Label::ServiceName]);
        let layered: &[(&str, &[&str], &[&str])] =
            &[("http_server_*", &["url.path"], &[]), ("http_*", &["*"], &["url_path", "http.route"])];
        check(layered, SERVER, &[Label::ClientAddress, Label::ServiceName, Label::UrlPath]);
        check(layered, CLIENT, &[Label::ClientAddress, Label::ServiceName]);
    }

    #[test]
    fn an_empty_glob_is_an_error() {
        let section = SelectSection { metric: String::new(), ..SelectSection::default() };
        assert_eq!(
            Select::new(&[section]).unwrap_err().to_string(),
            "`` is no usable pattern: use a name with `*` and `?`"
        );
    }
}
