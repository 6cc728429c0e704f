//! The BPF programs against the running kernel: known exchanges on loopback, and what the recorder makes of them.
//!
//! They need root and BPF. Elsewhere they are ignored, with the reason, and never passed.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod frames;
#[cfg(target_os = "linux")]
mod life;
#[cfg(target_os = "linux")]
mod rare;
#[cfg(target_os = "linux")]
mod recording;
#[cfg(target_os = "linux")]
mod ring;

#[cfg(target_os = "linux")]
fn main() {
    let mut arguments = libtest_mimic::Arguments::from_args();
    // Every recording follows this very process, so there can be only one at a time.
    arguments.test_threads = Some(1);
    let trials = [calls::trials(), frames::trials(), life::trials(), rare::trials(), ring::trials()]
        .into_iter()
        .flatten()
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}

#[cfg(not(target_os = "linux"))]
fn main() {}
