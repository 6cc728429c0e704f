//! Facts of processes, of the tape and from outside.

use super::policy::{RedactPolicy, Treatment};
use crate::config::{is_secret_variable, redact_secrets, without_comments};
use crate::facts::ProcessInfo;
use crate::facts::{ConnInfo, EntryExt};
use crate::tape::{Meta, host_of};

/// The variable that names the service.
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
/// The variable that has attributes of it; those of these names are kept.
const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
const KEPT_ATTRIBUTES: [&str; 2] = ["service.", "deployment.environment"];
/// Annotations of pods, but for those that name the service.
const ANNOTATION: &str = "k8s.pod.annotation.";
const KEPT_ANNOTATION: &str = "k8s.pod.annotation.resource.opentelemetry.io/";
const ENV: &str = "env.";
const CONFIG: &str = "config";

/// Where META says by what policy the tape was redacted.
pub(super) const POLICY: &str = "redaction.policy";
/// Where META says whether the tape has tokens.
pub(super) const VALUES: &str = "redaction.values";
/// What it says if so.
pub(super) const HASH: &str = "hash";

/// What of an event this version does not know.
pub(super) const UNKNOWN: &str = "something that only newer versions know";

/// The keys of those facts that are others now.
pub(super) fn changed_facts<'a>(
    before: &'a [(String, String)],
    after: &'a [(String, String)],
) -> impl Iterator<Item = &'a str> {
    before.iter().zip(after).filter(|(before, after)| before != after).map(|((key, _), _)| key.as_str())
}

/// The first thing of a process that is another one now, in words.
pub(super) fn changed_of_process(before: &ProcessInfo, after: &ProcessInfo) -> Option<String> {
    let variable = || changed_facts(&before.env, &after.env).next();
    match variable() {
        _ if before.cmdline != after.cmdline => Some("the arguments".to_owned()),
        Some(name) => Some(format!("the variable `{name}`")),
        None => (before != after).then(|| UNKNOWN.to_owned()),
    }
}

/// Whether a fact of META is redaction's own.
pub(super) fn is_own_fact(key: &str) -> bool {
    key == POLICY || key == VALUES
}

/// Overwrites what is to go of a process.
pub(super) fn redact_process(info: &mut ProcessInfo, policy: &RedactPolicy) {
    info.ext = EntryExt::default();
    if policy.processes.arguments == Treatment::Mask {
        mask_arguments(&mut info.cmdline);
    }
    if policy.processes.environment == Treatment::Mask {
        for (name, value) in &mut info.env {
            match name.as_str() {
                SERVICE_NAME => {}
                RESOURCE_ATTRIBUTES => *value = redact_attributes(value),
                _ => mask_text(value),
            }
        }
    }
}

/// Takes out what is not known of a connection.
pub(super) fn redact_connection(info: &mut ConnInfo) {
    info.ext = EntryExt::default();
}

/// Overwrites what is to go of facts from outside.
pub(super) fn redact_facts(facts: &mut [(String, String)], policy: &RedactPolicy) {
    for (key, value) in facts {
        if host_of(key).is_some() {
            if policy.host == Treatment::Mask {
                mask_text(value);
            }
        } else if key == CONFIG {
            *value = without_comments(&redact_secrets(value));
        } else if key.strip_prefix(ENV).is_some_and(|name| is_secret_variable(name) || has_user(value))
            || policy.annotations == Treatment::Mask && key.starts_with(ANNOTATION) && !key.starts_with(KEPT_ANNOTATION)
        {
            mask_text(value);
        }
    }
}

/// META of the redacted tape.
pub(super) fn redact_meta(meta: &Meta, policy: &RedactPolicy) -> Meta {
    let mut meta = meta.clone();
    if policy.processes.arguments == Treatment::Mask {
        mask_arguments(&mut meta.command);
    }
    if policy.host == Treatment::Mask {
        mask_text(&mut meta.host);
    }
    meta.config = without_comments(&redact_secrets(&meta.config));
    redact_facts(&mut meta.extra, policy);
    meta
}

/// The attributes of a service, with the values of others overwritten.
fn redact_attributes(attributes: &str) -> String {
    let pairs = attributes.split(',').map(|pair| match pair.split_once('=') {
        Some((name, _)) if KEPT_ATTRIBUTES.iter().any(|kept| name.trim().starts_with(kept)) => pair.to_owned(),
        Some((name, value)) => format!("{name}={}", masked(value)),
        None => masked(pair),
    });
    pairs.collect::<Vec<_>>().join(",")
}

/// Overwrites the arguments of a command line. Of the first a program may have made a title, with anything in it.
fn mask_arguments(line: &mut [String]) {
    if let Some(program) = line.first_mut() {
        program.truncate(program.find(char::is_whitespace).unwrap_or(program.len()));
    }
    line.iter_mut().skip(1).for_each(mask_text);
}

/// Whether a text may have a URL with a name and a password.
fn has_user(text: &str) -> bool {
    text.contains("//") && text.contains('@')
}

fn mask_text(text: &mut String) {
    *text = masked(text);
}

fn masked(text: &str) -> String {
    "*".repeat(text.len())
}
