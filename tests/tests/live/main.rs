//! Live tests: real programs, the real kernel, the real recorder. Each is ignored, with the reason, where the machine
//! cannot run it (see `redtape_tests::Requirement`).

mod greetings;

use libtest_mimic::Arguments;

fn main() {
    let mut arguments = Arguments::from_args();
    // One recorder at a time: each slows every system call of the machine, and the machine may have two cores.
    arguments.test_threads.get_or_insert(1);
    libtest_mimic::run(&arguments, greetings::trials()).exit();
}
