//! A test that is reported as ignored, with the reason, on a machine that cannot run it.

use std::any::Any;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};

use libtest_mimic::{Completion, Failed, Trial};

use crate::{Requirement, Result};

/// A live test. Where a requirement is missing it is ignored, never passed; where `REDTAPE_LIVE=required` says that the
/// machine is meant to have everything, it fails.
///
/// With `REDTAPE_LIVE_ATTEMPTS=2` one that fails is tried once more, and stderr says why the first attempt failed: on a machine
/// that is busy, a program may be done before its probes are in place, or be recorded too late to be put in order.
pub fn trial(
    name: impl Into<String>,
    requirements: &[Requirement],
    test: impl Fn() -> Result<()> + Send + 'static,
) -> Trial {
    let (name, requirements) = (name.into(), requirements.to_vec());
    Trial::ignorable_test(name.clone(), move || {
        if let Some(reason) = requirements.iter().find_map(|requirement| requirement.missing()) {
            return if env::var_os("REDTAPE_LIVE").is_some_and(|value| value == "required") {
                Err(Failed::from(format!("cannot run here: {reason}")))
            } else {
                Ok(Completion::ignored_with(reason))
            };
        }
        for attempt in 1..attempts() {
            match attempted(&test) {
                Ok(()) => return Ok(Completion::Completed),
                Err(reason) => eprintln!("\n{name}: attempt {attempt} failed, and is followed by another: {reason}"),
            }
        }
        test().map(|()| Completion::Completed).map_err(|error| Failed::from(error.to_string()))
    })
}

/// How often a test may be tried.
fn attempts() -> usize {
    env::var("REDTAPE_LIVE_ATTEMPTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Runs a test whose failure is not the end.
fn attempted(test: &impl Fn() -> Result<()>) -> std::result::Result<(), String> {
    match catch_unwind(AssertUnwindSafe(test)) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(panic) => Err(message(&*panic).to_owned()),
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked")
}
