//! The server: listeners, each with its pages, on a thread of their own.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::serve::Listener;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use redtape_core::metric::Resolution;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, oneshot};

use super::answer::{Page, Site, What};
use super::endpoint::Endpoint;
use super::internal::Internal;
use super::window::{Health, Showing, Window};
use crate::cli::Linger;
use crate::export::{ExportCounters, Exporter, Replayed};
use crate::failure::{Failure, Kind, Result};
use crate::interrupt::Interrupt;

/// How often a server that lingers looks whether it is to end.
const POLL: Duration = Duration::from_millis(50);

/// Connections to one listener at the same time; the others wait.
const CONNECTIONS: usize = 128;

/// How long a connection may take for a request's head, and be idle between two requests.
const HEAD: Duration = Duration::from_secs(30);

/// What is to be served, and where.
#[derive(Clone, Debug, Default)]
pub(crate) struct Serve {
    /// The metrics of the tape.
    pub(crate) metrics: Option<Endpoint>,
    /// What redtape says of itself.
    pub(crate) internal: Option<Endpoint>,
    /// Series that were not updated for so long, in nanoseconds of tape time, are left out of a scrape.
    pub(crate) ttl_nanos: Option<u64>,
    /// How fine native histograms are, for whoever takes protobuf; `None` for none.
    pub(crate) native: Option<Resolution>,
    /// What times and ids exemplars get.
    pub(crate) replayed: Replayed,
    /// Whether the tape moves on by itself, so that standing still is unhealthy, and lagging behind is told.
    pub(crate) live: bool,
}

/// A server that runs. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    window: Arc<Window>,
    urls: Vec<String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A listener and what it serves.
struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    pages: Arc<[Page]>,
}

/// Addresses that are listened at, where nobody serves yet: listening may take a privilege, serving takes a thread.
pub(crate) struct Listening {
    bound: Vec<Bound>,
    ttl_nanos: Option<u64>,
    native: Option<Resolution>,
    replayed: Replayed,
    live: bool,
}

impl Listening {
    /// Listens at all addresses. `None` where nothing is to be served.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub(crate) fn at(serve: &Serve) -> Result<Option<Self>> {
        let &Serve { ttl_nanos, native, live, .. } = serve;
        let replayed = serve.replayed.clone();
        let bound = bind(serve)?;
        Ok((!bound.is_empty()).then_some(Self { bound, ttl_nanos, native, replayed, live }))
    }

    /// Serves from now on.
    ///
    /// # Errors
    ///
    /// [`Kind::Environment`] where no thread can be started.
    pub(crate) fn serve(self, counters: &Arc<ExportCounters>) -> Result<Server> {
        let environment = |error: std::io::Error| Failure::message(Kind::Environment, format!("no server: {error}"));
        let window = Arc::new(Window::new(self.live));
        let pages = self.bound.iter().map(|bound| (bound.address.port(), Arc::clone(&bound.pages))).collect();
        let internal = Internal::new(Arc::clone(counters), pages, self.live);
        let site = Site::new(Arc::clone(&window), internal, self.ttl_nanos, self.replayed, self.native);
        let site = Arc::new(site);
        let urls = self.bound.iter().flat_map(Bound::urls).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(environment)?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("serve".into());
        let thread = thread.spawn(move || run(&runtime, self.bound, &site, stopped)).map_err(environment)?;
        Ok(Server { window, urls, stop: Some(stop), thread: Some(thread) })
    }
}

impl Server {
    /// Listens at all addresses, so that whatever is in the way of that is known before anything is replayed, and serves
    /// from then on. `None` where nothing is to be served.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] for two things at the same place, [`Kind::Environment`] for an address that cannot be listened at.
    pub(crate) fn start(serve: &Serve, counters: &Arc<ExportCounters>) -> Result<Option<Self>> {
        Listening::at(serve)?.map(|listening| listening.serve(counters)).transpose()
    }

    /// What shows the metrics to those who ask.
    pub(crate) fn exporter(&self) -> impl Exporter + 'static {
        Showing::new(Arc::clone(&self.window))
    }

    /// How the run is.
    pub(crate) fn health(&self) -> Health {
        Health(Arc::clone(&self.window))
    }

    /// Goes on serving what there is in the end, for as long as `linger` says or until SIGINT or SIGTERM.
    ///
    /// # Errors
    ///
    /// [`Kind::Environment`] where signals cannot be waited for.
    pub(crate) fn linger(self, linger: Linger) -> Result {
        let interrupt = Interrupt::on_signals()
            .map_err(|error| Failure::message(Kind::Environment, format!("no signals can be waited for: {error}")))?;
        let end = match linger {
            Linger::For(period) => Instant::now().checked_add(period.0),
            Linger::Forever => None,
        };
        while !interrupt.asked() && end.is_none_or(|end| Instant::now() < end) {
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Where everything is.
    pub(crate) fn urls(&self) -> &[String] {
        &self.urls
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        // A server that has panicked has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Bound {
    fn urls(&self) -> impl Iterator<Item = String> {
        self.pages.iter().map(|page| format!("http://{}{}", self.address, page.path))
    }
}

fn bind(serve: &Serve) -> Result<Vec<Bound>> {
    let page = |what, path: &str| Page { path: path.into(), what, requests: 0.into() };
    let mut places: Vec<(&Endpoint, Vec<Page>)> = Vec::new();
    if let Some(endpoint) = &serve.metrics {
        places.push((endpoint, vec![page(What::Metrics, endpoint.path("/metrics"))]));
    }
    if let Some(endpoint) = &serve.internal {
        let page = page(What::Internal, endpoint.path("/internal/metrics"));
        match places.first_mut().filter(|(other, _)| other.shares_listener(endpoint)) {
            Some((_, pages)) if pages.iter().any(|other| other.path == page.path) => {
                let message = format!(
                    "{endpoint}{}: the metrics and the internal metrics cannot be at the same place; give one of them \
                     another path or port",
                    page.path
                );
                return Err(Failure::message(Kind::Usage, message));
            }
            Some((_, pages)) => pages.push(page),
            None => places.push((endpoint, vec![page])),
        }
    }
    let bound = places.into_iter().map(|(endpoint, pages)| {
        let listen = || {
            let listener = endpoint.listen()?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Bound { listener, address, pages: pages.into() })
        };
        listen().map_err(|error: std::io::Error| {
            Failure::message(Kind::Environment, format!("cannot listen at {endpoint}: {error}; choose another port"))
        })
    });
    bound.collect()
}

/// Serves until it is told to stop, or nobody is left who could.
fn run(runtime: &Runtime, bound: Vec<Bound>, site: &Arc<Site>, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async {
        for Bound { listener, address, pages } in bound {
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => {
                    eprintln!("redtape: warning: nothing is served at {address}: {error}");
                    continue;
                }
            };
            let site = Arc::clone(site);
            // Not routes of axum's: paths come from a configuration, and to them some characters are special.
            let router = Router::new().fallback(move |request: Request| {
                let (site, pages) = (Arc::clone(&site), Arc::clone(&pages));
                async move { site.answer(&pages, request.method(), request.uri(), request.headers()).await }
            });
            tokio::spawn(accept(listener, router));
        }
        let _ = stopped.await;
    });
}

/// Serves whoever connects, within bounds.
async fn accept(mut listener: tokio::net::TcpListener, router: Router) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let service = TowerToHyperService::new(router);
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&connections).acquire_owned().await {
        // Axum's way of it, which waits a while where there are too few descriptors.
        let (stream, _) = Listener::accept(&mut listener).await;
        let connection = http.serve_connection(TokioIo::new(stream), service.clone()).into_owned();
        tokio::spawn(async move {
            // Whoever does not get an answer has gone, or was too slow.
            let _ = connection.await;
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(metrics: &str, internal: &str) -> Result<Option<Server>> {
        let endpoint = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        let serve = Serve { metrics: endpoint(metrics), internal: endpoint(internal), ..Serve::default() };
        Server::start(&serve, &Arc::default())
    }

    #[test]
    fn a_port_in_use_is_told_at_once() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = start(&address.to_string(), "").unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen at {address}: ")), "{error}");
        assert!(error.ends_with("choose another port"), "{error}");
    }

    #[test]
    fn two_things_need_two_places() {
        let error = start("127.0.0.1:9/a", "127.0.0.1:9/a").unwrap_err().to_string();
        assert!(error.starts_with("127.0.0.1:9/a: "), "{error}");
        assert!(start("", "").unwrap().is_none());
        let both = start("127.0.0.1:0", "127.0.0.1:0").unwrap().unwrap();
        assert_eq!(both.urls().len(), 2);
    }
}
