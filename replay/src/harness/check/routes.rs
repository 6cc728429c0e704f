//! Checks paths and their routes, by the decorator alone.

use std::fs;
use std::io::ErrorKind;

use redtape_core::config::Config;
use redtape_core::{Decorator, Evidence, Explanation, Limits, SpanKind};

use super::fault::{Accept, Checks, Fault};
use crate::failure::{Failure, Kind, Result};
use crate::harness::spec::{Loaded, RoutesExpect};

/// A request, and where its expectation stands.
struct Case {
    key: String,
    service: String,
    method: String,
    path: String,
    /// `None` for a path that is ignored.
    route: Option<String>,
    /// Whether the spec itself has the route, and not another file.
    own: bool,
    /// Patterns for this request alone.
    patterns: Option<Vec<String>>,
}

/// Checks all paths of a table. Requests come in the order of `paths`, `cases` and `table`; where routes are learned from what
/// came before, that matters.
pub(crate) fn check_routes(
    checks: &mut Checks,
    key: &str,
    expect: &RoutesExpect,
    config: &Config,
    (evidence, spec): (Evidence, &Loaded),
) -> Result {
    let decorator_of = |patterns: Option<&Vec<String>>| {
        let mut config = config.clone();
        if let Some(patterns) = patterns {
            config.routes.patterns.clone_from(patterns);
        }
        let decorator = config.decorator(evidence, &Limits::default());
        decorator.map_err(|(at, message)| spec.fault(&format!("{key}.patterns"), format!("{at}: {message}")))
    };
    let mut decorator = decorator_of(expect.patterns.as_ref())?;
    let cases = cases(key, expect, spec)?;
    let kind = if expect.outgoing { SpanKind::Client } else { SpanKind::Server };
    if evidence == Evidence::Whole {
        cases.iter().for_each(|case| decorator.observe(&case.service, kind, &case.method, &case.path));
    }
    for case in cases {
        let fault = match &case.patterns {
            Some(patterns) => check_case(&case, kind, &mut decorator_of(Some(patterns))?),
            None => check_case(&case, kind, &mut decorator),
        };
        checks.push(case.key, fault);
    }
    Ok(())
}

fn check_case(case: &Case, kind: SpanKind, decorator: &mut Decorator) -> Option<Fault> {
    let decision = decorator.decorate(&case.service, kind, &case.method, &case.path);
    let ignored = decision.ignored.traces && decision.ignored.metrics;
    let found = (!ignored).then(|| decision.route.to_string());
    if found == case.route {
        return None;
    }
    let shown = |route: &Option<String>| match route.as_deref() {
        None => "to be ignored".to_owned(),
        Some("") => "no route".to_owned(),
        Some(route) => route.to_owned(),
    };
    let yaml =
        found.as_ref().map_or_else(|| "null".to_owned(), |route| serde_json::Value::from(route.as_str()).to_string());
    let details = explained(&decorator.explain(&case.service, kind, &case.method, &case.path));
    let message = format!("{}: expected {}, found {}", case.path, shown(&case.route), shown(&found));
    Some(Fault { accept: case.own.then_some(Accept::Value(yaml)), details, ..Fault::new(message) })
}

/// Which rule, pattern or class decided, as `redtape routes explain` tells it.
fn explained(explanation: &Explanation) -> Vec<String> {
    let mut lines = vec![format!("decided by {}", explanation.decision.rule)];
    lines.extend(explanation.ignored_by.as_ref().map(|pattern| format!("ignored, by the pattern {pattern}")));
    let segments = explanation.segments.iter();
    lines.extend(segments.map(|segment| format!("  {}  {}  {}", segment.segment, segment.output, segment.reason)));
    lines
}

fn cases(key: &str, expect: &RoutesExpect, spec: &Loaded) -> Result<Vec<Case>> {
    let case = |key: String, path: &str, route: Option<String>, own| Case {
        key,
        service: expect.service.clone(),
        method: "GET".into(),
        path: path.into(),
        route,
        own,
        patterns: None,
    };
    let mut cases = Vec::new();
    for (path, route) in &expect.paths {
        cases.push(case(format!("{key}.paths.{path}"), path, route.clone(), true));
    }
    for (at, row) in expect.cases.iter().enumerate() {
        let mut case = case(format!("{key}.cases[{at}].route"), &row.path, row.route.clone(), true);
        case.method = row.method.clone().unwrap_or(case.method);
        case.service = row.service.clone().unwrap_or(case.service);
        cases.push(case);
    }
    if let Some(table) = &expect.table {
        let path = spec.beside(table);
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => spec.missing(&format!("{key}.table"), table),
            _ => spec.fault(&format!("{key}.table"), format!("{}: {error}", path.display())),
        })?;
        for (line, number) in text.lines().zip(1..) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = format!("{key}.table:{number}");
            cases.push(match line.split('\t').collect::<Vec<_>>().as_slice() {
                [target, route] => case(key, target, Some((*route).into()), false),
                [patterns, target, route] => {
                    let patterns = Some(patterns.split(' ').map(ToOwned::to_owned).collect());
                    let route = if *route == "-" { "" } else { route };
                    Case { patterns, ..case(key, target, Some(route.into()), false) }
                }
                _ => {
                    let message = format!("{}:{number}: is no path, tab, route", path.display());
                    return Err(Failure::message(Kind::Usage, message));
                }
            });
        }
    }
    Ok(cases)
}
