//! From a configuration to what the engine goes by.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;

use redtape_core::config::{Config, ConfigText, Fault, LinkHorizon, LogLevel, expand};
use redtape_core::tape::Meta;
use redtape_core::{EngineOptions, Evidence};

use crate::cli::{self, Settings};
use crate::failure::{Failure, Kind, Result};

/// Reads a configuration file, and unless `quiet` says on stderr what of it has no effect.
pub(crate) fn read_config(path: &Path, quiet: bool) -> Result<Config> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::message(Kind::Usage, format!("{name}: cannot be read: {error}")))?;
    let text = expand(&text, &name, &environment()).map_err(|error| Failure::new(Kind::Usage, error))?;
    let (config, warnings) = Config::from_yaml(&text, &name).map_err(|error| Failure::new(Kind::Usage, error))?;
    let quiet = quiet || config.log_level == LogLevel::Error;
    warnings.iter().filter(|_| !quiet).for_each(|warning| eprintln!("redtape: warning: {warning}"));
    Ok(config)
}

/// The key of META for how long spans waited for their links where the tape was kept by a live run.
pub(crate) const HORIZON: &str = "redtape.links.horizon";

/// The configuration of a command: the file that was given, else what the tape was made by. Where neither says how long spans
/// wait for their links, it is as long as they did when the tape was kept.
pub(crate) fn config(settings: &Settings, on_tape: Option<&Meta>, quiet: bool) -> Result<Config> {
    let mut config = match (&settings.config, on_tape) {
        (Some(path), _) => read_config(path, quiet)?,
        (None, None) => Config::default(),
        (None, Some(meta)) => {
            let loaded = ConfigText::of_meta(meta).load("the tape's configuration");
            let failed = |error| Failure::message(Kind::Usage, format!("{error}; --config FILE takes another one"));
            loaded.map_err(failed)?.0
        }
    };
    let kept = on_tape.and_then(|meta| meta.extra.iter().find(|(key, _)| key == HORIZON));
    if let (None, Some((_, horizon))) = (config.redtape.links.horizon, kept) {
        config.redtape.links.horizon = LinkHorizon::try_from(horizon.clone()).ok();
    }
    Ok(config)
}

/// The variables that may stand for keys. What is not text cannot be a value of theirs.
pub(crate) fn environment() -> BTreeMap<String, String> {
    env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// Takes the environment over a configuration, and unless `quiet` says on stderr what of it has no effect.
pub(crate) fn take_environment(config: &mut Config, quiet: bool) -> Result {
    let warnings = config.apply_env(&environment()).map_err(|error| Failure::new(Kind::Usage, error))?;
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
