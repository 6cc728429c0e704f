//! From a configuration to what the engine goes by.

use std::env;
use std::fs;
use std::path::Path;

use redtape_core::config::{Config, Fault};
use redtape_core::{EngineOptions, Evidence};

use crate::cli::{self, Settings};
use crate::failure::{Failure, Kind, Result};

/// Reads a configuration file, and unless `quiet` says on stderr what of it has no effect.
pub(crate) fn read_config(path: &Path, quiet: bool) -> Result<Config> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::message(Kind::Usage, format!("{name}: cannot be read: {error}")))?;
    let (config, warnings) = Config::from_yaml(&text, &name).map_err(|error| Failure::new(Kind::Usage, error))?;
    warnings.iter().filter(|_| !quiet).for_each(|warning| eprintln!("redtape: warning: {warning}"));
    Ok(config)
}

/// The configuration of a command: the file that was given, else what the recorder of the tape went by.
pub(crate) fn config(settings: &Settings, on_tape: &str, quiet: bool) -> Result<Config> {
    match &settings.config {
        Some(path) => read_config(path, quiet),
        None if on_tape.is_empty() => Ok(Config::default()),
        None => {
            let (config, _) = Config::from_yaml(on_tape, "the tape's configuration")
                .map_err(|error| Failure::message(Kind::Usage, format!("{error}; --config FILE takes another one")))?;
            Ok(config)
        }
    }
}

/// Takes the environment over a configuration, and unless `quiet` says on stderr what of it has no effect.
pub(crate) fn take_environment(config: &mut Config, quiet: bool) -> Result {
    let variables =
        env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let warnings = config.apply_env(&variables.collect()).map_err(|error| Failure::new(Kind::Usage, error))?;
    warnings.iter().filter(|_| !quiet).for_each(|warning| eprintln!("redtape: warning: {warning}"));
    Ok(())
}

/// What the engine goes by, according to a configuration and the command line.
pub(crate) fn options(config: &Config, settings: &Settings) -> Result<EngineOptions> {
    let mut options = config.engine(false, evidence(settings.evidence)).map_err(unusable)?;
    options.links.ignore_traceparent = settings.ignore_traceparent;
    options.reload = settings.config.is_none();
    Ok(options)
}

/// A configuration that the environment or the command line spoilt.
pub(crate) fn unusable((key, message): Fault) -> Failure {
    Failure::message(Kind::Usage, format!("{key}: {message}"))
}

pub(crate) const fn evidence(evidence: cli::Evidence) -> Evidence {
    match evidence {
        cli::Evidence::Online => Evidence::Online,
        cli::Evidence::Whole => Evidence::Whole,
    }
}
