//! Runs of the programs that the kernel skipped: it lets no program interrupt itself on the same CPU.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};

use aya::Ebpf;

/// How often programs were skipped since they were loaded. None if the kernel does not tell, as before 5.12.
pub(crate) fn skipped_runs(programs: &Ebpf) -> Option<u64> {
    let mut sum = None;
    for fd in programs.programs().filter_map(|(_, program)| program.fd().ok()) {
        let told = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd())).ok();
        if let Some(misses) = told.as_deref().and_then(recursion_misses) {
            sum = Some(misses.saturating_add(sum.unwrap_or(0)));
        }
    }
    sum
}

/// The line that `bpf_prog_show_fdinfo` writes (kernel/bpf/syscall.c).
fn recursion_misses(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::recursion_misses;

    #[test]
    fn misses_are_one_line_of_many() {
        let text =
            "pos:\t0\nflags:\t02000002\nprog_type:\t26\nrun_cnt:\t0\nrecursion_misses:\t17\nverified_insns:\t9\n";
        assert_eq!(recursion_misses(text), Some(17));
        assert_eq!(recursion_misses("pos:\t0\nrun_cnt:\t0\n"), None);
    }
}
