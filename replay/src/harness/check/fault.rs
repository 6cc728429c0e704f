//! A check and what failed of it.

use std::fmt::Display;
use std::path::PathBuf;

use crate::harness::spec::{Condition, Operand};

/// One expectation, checked.
#[derive(Debug)]
pub(crate) struct Check {
    /// The path of its key in the spec, as in `expect.spans.match[0].count`.
    pub(crate) key: String,
    /// What failed.
    pub(crate) fault: Option<Fault>,
}

/// What failed of a check.
#[derive(Debug, Default)]
pub(crate) struct Fault {
    /// In a line: what was expected and what was found.
    pub(crate) message: String,
    /// More of it, a line each.
    pub(crate) details: Vec<String>,
    /// The number of the span that it is about.
    pub(crate) span: Option<usize>,
    /// How what was found is accepted.
    pub(crate) accept: Option<Accept>,
}

/// What `--bless` writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Accept {
    /// Another value, as YAML, in the place of the check's.
    Value(String),
    /// A golden file.
    File(PathBuf, Vec<u8>),
}

impl Fault {
    /// A fault in a line.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// Of an expected and a found value.
    pub(crate) fn differs(expected: impl Display, found: impl Display) -> Self {
        Self::new(format!("expected {expected}, found {found}"))
    }
}

/// The checks of a run.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub(crate) list: Vec<Check>,
}

impl Checks {
    /// A check that went well, or not.
    pub(crate) fn push(&mut self, key: impl Into<String>, fault: Option<Fault>) {
        self.list.push(Check { key: key.into(), fault });
    }

    /// Checks a value against a condition, if there is one. Returns whether it failed.
    pub(crate) fn condition<T: Operand>(&mut self, key: String, condition: Option<&Condition<T>>, found: &T) -> bool {
        let Some(condition) = condition else { return false };
        let fault = (!condition.holds(Some(found))).then(|| Fault {
            accept: condition.accepting(found).map(Accept::Value),
            ..Fault::differs(condition, found)
        });
        let failed = fault.is_some();
        self.push(key, fault);
        failed
    }

    /// What failed last.
    pub(crate) fn last_fault(&mut self) -> Option<&mut Fault> {
        self.list.last_mut()?.fault.as_mut()
    }
}
