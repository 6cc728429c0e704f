//! What the engine needs of a configuration.

use super::export::{Instrumentation, OtelTracesExport};
use super::metrics::Attributes;
use super::own::{LinkHorizon, LinksMode, Phases};
use super::root::Config;
use super::routes::ServiceRoutes;
use super::select::{Discovery, DiscoveryError};
use crate::engine::EngineOptions;
use crate::filter::Filter;
use crate::limits::Limits;
use crate::link::{Horizon, LinkMode, LinkOptions};
use crate::route::{Decorator, Evidence, RouteError, RouteLint};
use crate::shown::{REDACTED_BY_DEFAULT, ShownAttributes};
use crate::signals::TraceOptions;

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
    /// Which spans are sampled.
    pub traces: TraceOptions,
    /// Which attributes of spans are shown.
    pub shown: ShownAttributes,
    /// Leaves out of a signal what processes export of it by themselves.
    pub exclude_instrumented: bool,
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
            traces: self.traces()?,
            shown: self.shown()?,
            exclude_instrumented: self.discovery.exclude_otel_instrumented_services,
            everything: false,
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
        Ok(Reloadable {
            decorator: self.decorator(evidence, limits)?,
            discovery: self.discovery()?,
            filter: self.filter()?,
            traces: self.traces()?,
            shown: self.shown()?,
            exclude_instrumented: self.discovery.exclude_otel_instrumented_services,
        })
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

    /// Which spans are sampled.
    ///
    /// # Errors
    ///
    /// As [`Config::engine`].
    pub fn traces(&self) -> Result<TraceOptions, Fault> {
        let OtelTracesExport { sampler, instrumentations, .. } = &self.otel_traces_export;
        let fault = |(key, message)| (format!("otel_traces_export.sampler.{key}"), message);
        Ok(TraceOptions {
            sampler: sampler.sampler().map_err(fault)?,
            protocols: Instrumentation::protocols(&[instrumentations]),
        })
    }

    /// Which attributes of spans are shown.
    fn shown(&self) -> Result<ShownAttributes, Fault> {
        let exclude = self.attributes.select.get("traces").map_or(&[][..], |traces| &traces.exclude);
        let redacted = self.attributes.redact.sensitive_query_params.clone();
        let redacted = redacted.unwrap_or_else(|| REDACTED_BY_DEFAULT.map(Into::into).into());
        ShownAttributes::new(exclude, redacted)
            .map_err(|error| ("attributes.select.traces.exclude".into(), error.to_string()))
    }

    /// What chooses and names processes.
    ///
    /// # Errors
    ///
    /// As [`Config::engine`].
    pub fn discovery(&self) -> Result<Discovery, Fault> {
        let Attributes { instance_id, host_id, kubernetes, .. } = &self.attributes;
        let discovery = Discovery::new(&self.discovery, &self.targets()).map_err(|error| {
            let DiscoveryError { path, message } = error;
            (path, message)
        })?;
        let discovery = discovery.host(instance_id.override_hostname.clone(), host_id.r#override.clone());
        Ok(discovery.naming(kubernetes.names()))
    }

    /// What gives routes: the section `routes`, and the routes of discovery entries that name their service.
    ///
    /// # Errors
    ///
    /// As [`Config::engine`].
    pub fn decorator(&self, evidence: Evidence, limits: &Limits) -> Result<Decorator, Fault> {
        let discovery = self.discovery()?;
        Decorator::new(&self.routes, own_routes(&discovery), evidence, limits).map_err(route_fault)
    }

    /// The patterns that give routes, of all services and of single ones.
    ///
    /// # Errors
    ///
    /// As [`Config::engine`].
    pub fn route_patterns(&self) -> Result<Vec<String>, Fault> {
        let discovery = self.discovery()?;
        let own = own_routes(&discovery).flat_map(|(_, own)| own.incoming.iter().chain(&own.outgoing));
        Ok(self.routes.patterns.iter().chain(own).cloned().collect())
    }

    /// What holds the patterns that give routes against requests.
    ///
    /// # Errors
    ///
    /// As [`Config::engine`].
    pub fn route_lint(&self) -> Result<RouteLint, Fault> {
        let discovery = self.discovery()?;
        RouteLint::new(&self.routes, own_routes(&discovery)).map_err(route_fault)
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

/// The patterns of discovery entries that name their service.
fn own_routes(discovery: &Discovery) -> impl Iterator<Item = (&str, &ServiceRoutes)> {
    let rules = (0..).map_while(|index| discovery.rule(index));
    rules.filter_map(|rule| Some((rule.name.as_deref()?, rule.routes.as_ref()?)))
}

fn route_fault(error: RouteError) -> Fault {
    (format!("{}[{}]", error.key, error.index), format!("`{}`: {}", error.pattern, error.error))
}
