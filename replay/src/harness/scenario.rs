//! The scenario of a spec with synthetic traffic.

use std::fs;
use std::path::Path;

use redtape_core::synth::Scenario;

use super::spec::{Loaded, ScenarioSource};
use crate::failure::{Failure, Kind, Result};

/// Reads the scenario that a spec names or has.
pub(crate) fn scenario(spec: &Loaded, source: &ScenarioSource) -> Result<Scenario> {
    match source {
        ScenarioSource::Inline(scenario) => match scenario.fault() {
            Some((key, message)) => Err(spec.fault(&format!("synth.{key}"), message)),
            None => Ok(Scenario::clone(scenario)),
        },
        ScenarioSource::File(file) => {
            let path = spec.beside(file);
            if let Some(scenario) = included(&path, file) {
                return Ok(scenario);
            }
            let name = path.display().to_string();
            let text = fs::read_to_string(&path).map_err(|error| spec.fault("synth", format!("{name}: {error}")))?;
            Scenario::from_yaml(&text, &name).map_err(|error| Failure::new(Kind::Usage, error))
        }
    }
}

/// An included scenario, if there is no file with its name.
pub(crate) fn included(path: &Path, name: &Path) -> Option<Scenario> {
    if path.exists() { None } else { Scenario::named(name.to_str()?) }
}
