//! What `replay` serves: where the command line says, which may leave it to the configuration.

use std::sync::Arc;

use redtape_core::config::{Config, ExemplarFilter, PrometheusExport};

use crate::cli::Export;
use crate::export::{ExportCounters, Replayed, Times};
use crate::failure::{Failure, Kind, Result};
use crate::serve::{Endpoint, Serve, Server};

/// The server that the command line asks for.
pub(super) fn serve(
    export: &Export,
    config: &Config,
    times: &Times<'_>,
    counters: &Arc<ExportCounters>,
    quiet: bool,
) -> Result<Option<Server>> {
    let PrometheusExport { port, path, .. } = &config.prometheus_export;
    let internal = &config.internal_metrics.prometheus;
    let serve = Serve {
        metrics: endpoint(&export.prometheus, "--prometheus", "prometheus_export", (*port, path))?,
        internal: endpoint(
            &export.internal_metrics,
            "--internal-metrics",
            "internal_metrics.prometheus",
            (internal.port, &internal.path),
        )?,
        ttl_nanos: ttl(config),
        native: config.native_histograms(),
        replayed: match config.prometheus_export.exemplar_filter {
            // Nothing has a time or an id then, and tapes need not be looked at.
            ExemplarFilter::AlwaysOff => Replayed::default(),
            ExemplarFilter::AlwaysOn | ExemplarFilter::TraceBased => times.of_back_end()?,
        },
        live: false,
    };
    let server = Server::start(&serve, counters)?;
    for url in server.iter().flat_map(Server::urls).filter(|_| !quiet) {
        eprintln!("redtape: serving {url}");
    }
    if server.is_none() && export.linger.is_some() {
        return Err(Failure::message(Kind::Usage, "--linger: nothing is served; add --prometheus"));
    }
    Ok(server)
}

/// How long a series is shown that does not change, in nanoseconds; `None` for as long as there is one.
pub(super) fn ttl(config: &Config) -> Option<u64> {
    Some(config.prometheus_export.ttl.nanos()).filter(|&ttl| ttl > 0)
}

/// Where a flag wants something served, or the configuration, where the flag leaves it open.
fn endpoint(
    given: &Option<Option<Endpoint>>,
    flag: &str,
    section: &str,
    (port, path): (u16, &str),
) -> Result<Option<Endpoint>> {
    match given {
        None => Ok(None),
        Some(Some(endpoint)) => Ok(Some(endpoint.clone())),
        Some(None) if port != 0 => Ok(Some(Endpoint::new(port, path))),
        Some(None) => {
            let message = format!("{flag}: {section}.port is not set; give an address, as in `{flag} :9090`");
            Err(Failure::message(Kind::Usage, message))
        }
    }
}
