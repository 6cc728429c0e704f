//! From a configuration to what the engine goes by.

use std::fs;
use std::path::Path;

use redtape_core::config::{Config, Discovery, LinkHorizon, LinksMode, Phases as ConfigPhases};
use redtape_core::{Decorator, EngineOptions, Evidence, Horizon, Limits, LinkMode, LinkOptions, Phases};

use crate::cli::{self, Settings};
use crate::failure::{Failure, Kind, Result};

/// Reads a configuration file, and says on stderr what of it has no effect.
pub(crate) fn read_config(path: &Path) -> Result<Config> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::message(Kind::Usage, format!("{name}: cannot be read: {error}")))?;
    let (config, warnings) = Config::from_yaml(&text, &name).map_err(|error| Failure::new(Kind::Usage, error))?;
    warnings.iter().for_each(|warning| eprintln!("redtape: warning: {warning}"));
    Ok(config)
}

/// The configuration of a command: the file that was given, else what the recorder of the tape went by.
pub(crate) fn config(settings: &Settings, on_tape: &str) -> Result<Config> {
    match &settings.config {
        Some(path) => read_config(path),
        None if on_tape.is_empty() => Ok(Config::default()),
        None => {
            let (config, _) = Config::from_yaml(on_tape, "the tape's configuration")
                .map_err(|error| Failure::message(Kind::Usage, format!("{error}; --config FILE takes another one")))?;
            Ok(config)
        }
    }
}

/// What the engine goes by, according to a configuration and the command line.
pub(crate) fn options(config: &Config, settings: &Settings) -> Result<EngineOptions> {
    let limits = config.redtape.limits.limits();
    let links = &config.redtape.links;
    let metrics =
        config.metrics().map_err(|(key, message)| Failure::message(Kind::Usage, format!("{key}: {message}")))?;
    Ok(EngineOptions {
        links: LinkOptions {
            mode: match links.mode {
                LinksMode::Default => LinkMode::Certain,
                LinksMode::All => LinkMode::All,
                LinksMode::Off => LinkMode::Off,
            },
            horizon: match links.horizon {
                None | Some(LinkHorizon::End) => Horizon::End,
                Some(LinkHorizon::After(period)) => Horizon::Nanos(period.nanos()),
            },
            ignore_traceparent: settings.ignore_traceparent,
        },
        phases: match config.redtape.phases {
            ConfigPhases::Auto => Phases::Auto,
            ConfigPhases::Always => Phases::Always,
            ConfigPhases::Never => Phases::Never,
        },
        limits,
        metrics,
        decorator: decorator(config, evidence(settings.evidence), &limits)?,
        discovery: discovery(config)?,
        metrics_step_nanos: None,
    })
}

pub(crate) const fn evidence(evidence: cli::Evidence) -> Evidence {
    match evidence {
        cli::Evidence::Online => Evidence::Online,
        cli::Evidence::Whole => Evidence::Whole,
    }
}

/// The routes decorator of a configuration. Patterns of a single service go by the name that its rule gives it.
pub(crate) fn decorator(config: &Config, evidence: Evidence, limits: &Limits) -> Result<Decorator> {
    let discovery = discovery(config)?;
    let rules = (0..).map_while(|index| discovery.rule(index));
    let services = rules.filter_map(|rule| Some((rule.name.as_deref()?, rule.routes.as_ref()?)));
    Decorator::new(&config.routes, services, evidence, limits).map_err(|error| Failure::new(Kind::Usage, error))
}

/// The rules that name services.
fn discovery(config: &Config) -> Result<Discovery> {
    Discovery::new(&config.discovery, &config.targets()).map_err(|error| Failure::new(Kind::Usage, error))
}
