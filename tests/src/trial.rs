//! A test that is reported as ignored, with the reason, on a machine that cannot run it.

use libtest_mimic::{Completion, Failed, Trial};

use crate::{Requirement, Result};

/// A live test. Where a requirement is missing it is ignored, never passed; where `REDTAPE_LIVE=required` says that the
/// machine is meant to have everything, it fails.
pub fn trial(
    name: impl Into<String>,
    requirements: &[Requirement],
    test: impl FnOnce() -> Result<()> + Send + 'static,
) -> Trial {
    let requirements = requirements.to_vec();
    Trial::ignorable_test(name, move || {
        if let Some(reason) = requirements.iter().find_map(|requirement| requirement.missing()) {
            return if std::env::var_os("REDTAPE_LIVE").is_some_and(|value| value == "required") {
                Err(Failed::from(format!("cannot run here: {reason}")))
            } else {
                Ok(Completion::ignored_with(reason))
            };
        }
        test().map(|()| Completion::Completed).map_err(|error| Failed::from(error.to_string()))
    })
}
