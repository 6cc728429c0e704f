//! How requests were answered, by service.

use std::collections::BTreeMap;

use redtape_core::{Span, SpanKind};
use serde::Serialize;

use crate::write::answer;

/// Services, by side, that are told apart; the others are left out, which is said.
const SERVICES_MAX: usize = 200;
/// Kinds of answers of one service that are told apart; the others are `other`.
const ANSWERS_MAX: usize = 64;

/// Counts answers.
#[derive(Debug, Default)]
pub(super) struct Statuses {
    services: BTreeMap<(SpanKind, String), BTreeMap<String, u64>>,
    left_out: u64,
}

/// The same for the page.
#[derive(Debug, Serialize)]
pub(super) struct StatusMix {
    services: Vec<ServiceStatuses>,
    /// Requests of services that are too many.
    left_out: u64,
}

#[derive(Debug, Serialize)]
struct ServiceStatuses {
    service: String,
    kind: &'static str,
    /// Answer, its class and how many there are, by answer.
    answers: Vec<(String, &'static str, u64)>,
}

impl Statuses {
    /// Counts a span.
    pub(super) fn observe(&mut self, span: &Span) {
        let key = (span.kind, span.service.name.to_string());
        if self.services.len() >= SERVICES_MAX && !self.services.contains_key(&key) {
            self.left_out += 1;
            return;
        }
        let answers = self.services.entry(key).or_default();
        let mut answer = answer(span);
        if answers.len() >= ANSWERS_MAX && !answers.contains_key(&answer) {
            answer = "other".into();
        }
        *answers.entry(answer).or_default() += 1;
    }

    /// What the page shows.
    pub(super) fn mix(&self) -> StatusMix {
        let service = |((kind, service), answers): (&(SpanKind, String), &BTreeMap<String, u64>)| ServiceStatuses {
            service: service.clone(),
            kind: kind.as_str(),
            answers: answers.iter().map(|(answer, count)| (answer.clone(), class(answer), *count)).collect(),
        };
        StatusMix { services: self.services.iter().map(service).collect(), left_out: self.left_out }
    }
}

/// The class of an answer, which has a colour.
fn class(answer: &str) -> &'static str {
    match answer {
        "gRPC 0" => "gRPC OK",
        "incomplete" => "incomplete",
        _ if answer.starts_with("gRPC ") => "gRPC error",
        _ if answer.len() == 3 && answer.bytes().all(|byte| byte.is_ascii_digit()) => match answer.as_bytes().first() {
            Some(b'1') => "1xx",
            Some(b'2') => "2xx",
            Some(b'3') => "3xx",
            Some(b'4') => "4xx",
            _ => "5xx",
        },
        _ => "no answer",
    }
}
