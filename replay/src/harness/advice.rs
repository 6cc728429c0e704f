//! What to say behind a name that there is not.

use redtape_core::config::did_you_mean;

/// The name of `known` that was most likely meant, to stand behind a message.
pub(crate) fn instead_of(name: &str, known: &[&str]) -> String {
    told(did_you_mean(name, known))
}

/// The same of a name that was found already.
pub(crate) fn told(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}
