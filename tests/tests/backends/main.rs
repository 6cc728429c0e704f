//! Tests with real back ends, started for a test each on a port of loopback. Each is ignored, with the reason, where the
//! machine lacks the back end (see `redtape_tests::Requirement`).
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod backfill;
mod dashboards;
mod native;
mod numbers;
mod otlp;
mod otlp_forms;
mod otlp_trouble;
mod scrape;

use libtest_mimic::Arguments;

fn main() {
    let mut arguments = Arguments::from_args();
    // Back ends take memory and the machine may have two cores.
    arguments.test_threads.get_or_insert(2);
    let trials = [
        dashboards::trials(),
        native::trials(),
        numbers::trials(),
        otlp::trials(),
        otlp_forms::trials(),
        otlp_trouble::trials(),
        scrape::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}
