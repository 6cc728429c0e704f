//! Any bytes as a function's code: the points to attach to lie within it, on either processor, without panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redtape_capture::{AttachPlan, Machine, ReturnPoint, plan, plan_entry, plan_go};

fuzz_target!(|input: &[u8]| {
    let Some((&[arguments], code)) = input.split_first_chunk::<1>() else { return };
    let arguments = usize::from(arguments % 7);
    for machine in [Machine::X86_64, Machine::Aarch64, Machine::Other(0)] {
        let within = |at: u64| assert!(at == 0 || at < code.len() as u64, "{at} of {}", code.len());
        within(plan_entry(machine, code, arguments));
        for AttachPlan { entry, result } in plan_go(machine, code, arguments).into_iter().chain([plan(machine, code, arguments)]) {
            within(entry);
            match result {
                ReturnPoint::Uretprobe(at) => within(at),
                ReturnPoint::Probes(points) => points.into_iter().for_each(within),
            }
        }
    }
});
