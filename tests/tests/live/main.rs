//! Live tests: real programs, the real kernel, the real recorder. Each is ignored, with the reason, where the machine
//! cannot run it (see `redtape_tests::Requirement`).

mod command;
mod configured;
mod demo;
mod dotnet;
mod endings;
mod go_tls;
mod greetings;
mod grpc;
mod languages;
mod late;
mod loss;
mod namespaces;
mod networks;
mod privileges;
mod queue;
mod redact;
mod running;
mod servers;
mod telling;
mod tls;
mod tls_linked;

use libtest_mimic::Arguments;

fn main() {
    let mut arguments = Arguments::from_args();
    // One recorder at a time: each slows every system call of the machine, and the machine may have two cores.
    arguments.test_threads.get_or_insert(1);
    let trials = [
        greetings::trials(),
        go_tls::trials(),
        grpc::trials(),
        languages::trials(),
        dotnet::trials(),
        servers::trials(),
        tls::trials(),
        tls_linked::trials(),
        queue::trials(),
        redact::trials(),
        command::trials(),
        configured::trials(),
        late::trials(),
        namespaces::trials(),
        networks::trials(),
        loss::trials(),
        endings::trials(),
        privileges::trials(),
        running::trials(),
        telling::trials(),
        demo::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}
