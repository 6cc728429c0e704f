//! What the engine needs of a configuration.

use super::own::{LinkHorizon, LinksMode, Phases};
use super::root::Config;
use super::select::{Discovery, DiscoveryError};
use crate::engine::EngineOptions;
use crate::filter::Filter;
use crate::limits::Limits;
use crate::link::{Horizon, LinkMode, LinkOptions};
use crate::route::{Decorator, Evidence};

/// How long a span waits for its links while the tape still runs, in nanoseconds of tape time.
const LIVE_HORIZON_NANOS: u64 = 1_000_000_000;

/// What of the engine's options a running engine takes from a changed configuration. Links, limits and metrics are the rest:
/// they stay what they were when it began.
#[derive(Debug)]
pub struct Reloadable {
    /// Gives routes.
    pub decorator: Decorator,
    /// Names services by the rule that chose them.
    pub discovery: Discovery,
    /// Keeps spans, or leaves them out.
    pub filter: Filter,
}

/// A key that is at fault, and what is wrong with it.
pub type Fault = (String, String);

impl Config {
    /// The engine's options: of a tape that is still running if `live`, which only decides what
    /// `redtape.links.horizon` is by default.
    ///
    /// # Errors
    ///
    /// The key that is at fault, and what is wrong with it. A configuration that was loaded has no such fault.
    pub fn engine(&self, live: bool, evidence: Evidence) -> Result<EngineOptions, Fault> {
        let limits = self.redtape.limits.limits();
        Ok(EngineOptions {
            links: self.links(live),
            phases: match self.redtape.phases {
                Phases::Auto => crate::Phases::Auto,
                Phases::Always => crate::Phases::Always,
                Phases::Never => crate::Phases::Never,
            },
            limits,
            metrics: self.metrics()?,
            decorator: self.decorator(evidence, &limits)?,
            discovery: self.discovery()?,
            filter: self.filter()?,
            reload: true,
            spans: true,
            metrics_step_nanos: None,
        })
    }

    /// What a running engine takes from it.
    ///
    /// # Errors
    ///
    /// As [`Config::engine`].
    pub fn reloadable(&self, evidence: Evidence, limits: &Limits) -> Result<Reloadable, Fault> {
        let (discovery, filter) = (self.discovery()?, self.filter()?);
        Ok(Reloadable { decorator: self.decorator(evidence, limits)?, discovery, filter })
    }

    /// How spans are linked.
    pub fn links(&self, live: bool) -> LinkOptions {
        let links = &self.redtape.links;
        LinkOptions {
            mode: match links.mode {
                LinksMode::Default => LinkMode::Certain,
                LinksMode::All => LinkMode::All,
                LinksMode::Off => LinkMode::Off,
            },
            horizon: match links.horizon {
                Some(LinkHorizon::End) => Horizon::End,
                Some(LinkHorizon::After(period)) => Horizon::Nanos(period.nanos()),
                None if live => Horizon::Nanos(LIVE_HORIZON_NANOS),
                None => Horizon::End,
            },
            ignore_traceparent: false,
        }
    }

    /// What chooses and names processes.
    ///
    /// # Errors
    ///
    /// As [`Config::engine`].
    pub fn discovery(&self) -> Result<Discovery, Fault> {
        Discovery::new(&self.discovery, &self.targets()).map_err(|error| {
            let DiscoveryError { path } = &error;
            let message = error.to_string();
            (path.clone(), message.strip_prefix(path.as_str()).unwrap_or(&message).trim_start().to_owned())
        })
    }

    /// What gives routes: the section `routes`, and the routes of discovery entries that name their service.
    ///
    /// # Errors
    ///
    /// As [`Config::engine`].
    pub fn decorator(&self, evidence: Evidence, limits: &Limits) -> Result<Decorator, Fault> {
        let discovery = self.discovery()?;
        let rules = (0..).map_while(|index| discovery.rule(index));
        let own = rules.filter_map(|rule| Some((rule.name.as_deref()?, rule.routes.as_ref()?)));
        Decorator::new(&self.routes, own, evidence, limits).map_err(|error| {
            (format!("{}[{}]", error.key, error.index), format!("`{}`: {}", error.pattern, error.error))
        })
    }

    /// Which spans to keep.
    pub(super) fn filter(&self) -> Result<Filter, Fault> {
        let rules = self.filter.application.iter().map(|(attribute, rule)| {
            let path = || format!("filter.application.{attribute}");
            let (glob, keep) = match (&rule.r#match, &rule.not_match) {
                (Some(glob), None) => (glob, true),
                (None, Some(glob)) => (glob, false),
                _ => return Err((path(), "give it exactly one of `match` and `not_match`".into())),
            };
            Ok((attribute.as_str(), glob.parse().map_err(|message| (path(), message))?, keep))
        });
        Ok(Filter::new(rules.collect::<Result<Vec<_>, Fault>>()?))
    }
}
