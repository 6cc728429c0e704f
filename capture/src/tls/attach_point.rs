//! Where in a function a probe costs least, by decoding the function's instructions.
//!
//! On x86-64 the kernel executes a probed instruction out of line, by a single step, which is most of what a probe costs; but
//! some instructions it emulates (`branch_setup_xol_ops` and `push_setup_xol_ops` in arch/x86/kernel/uprobes.c, from Linux 4.16
//! on): relative jumps and calls, `nop`, and `push` of a register. A probe on the first of these serves as well as one on
//! the first instruction, provided that it is passed once in each call and the arguments are still in their registers.
//! Functions of which that cannot be shown, and other machines, are probed at their beginning.

use std::collections::BTreeSet;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpAccess, Register};

use super::elf::Machine;

/// Where a function finds its arguments, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Convention {
    /// The System V ABI: C.
    C,
    /// Go's `ABIInternal` (src/cmd/compile/abi-internal.md), whose goroutine counts as an argument.
    Go,
}

impl Convention {
    /// The registers of the first `count` arguments.
    fn registers(self, count: usize) -> Vec<Register> {
        let (always, arguments): (&[Register], _) = match self {
            Self::C => (&[], [Register::RDI, Register::RSI, Register::RDX, Register::RCX]),
            Self::Go => (&[Register::R14], [Register::RAX, Register::RBX, Register::RCX, Register::RDI]),
        };
        always.iter().chain(arguments.iter().take(count)).copied().collect()
    }
}

/// Where the probes of a function go: offsets from its beginning, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachPlan {
    /// Its arguments are in their registers here, once in each call.
    pub entry: u64,
    /// Its result can be had here.
    pub result: ReturnPoint,
}

/// Where the result of a function can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReturnPoint {
    /// By a uretprobe that is attached here, where the stack pointer is at the return address.
    Uretprobe(u64),
    /// By plain probes here: on each way out, behind the last instruction that changes the result's register.
    Probes(Vec<u64>),
}

/// Plans the probes of a function with the C convention that has at most four arguments. An empty `code` is one that is
/// not known.
pub fn plan(machine: Machine, code: &[u8], arguments: usize) -> AttachPlan {
    const AT_START: AttachPlan = AttachPlan { entry: 0, result: ReturnPoint::Uretprobe(0) };
    let Some(body) = Body::decode(machine, code) else { return AT_START };
    let entry = body.entry(&Convention::C.registers(arguments));
    match body.stack_checks() {
        Some(checks) => AttachPlan { entry: entry.offset, result: ReturnPoint::Probes(checks) },
        None if entry.on_return_address => {
            AttachPlan { entry: entry.offset, result: ReturnPoint::Uretprobe(entry.offset) }
        }
        // The uretprobe traps at the beginning anyhow; there the arguments come at no further cost.
        None => AT_START,
    }
}

/// Plans the probe on the arguments alone, as [`plan`] does.
pub fn plan_entry(machine: Machine, code: &[u8], arguments: usize) -> u64 {
    Body::decode(machine, code).map_or(0, |body| body.entry(&Convention::C.registers(arguments)).offset)
}

/// Plans the probes of a Go function, whose result is had at each of its `RET` instructions: a uretprobe would replace a
/// return address that Go's runtime copies and reads when it moves a stack. None if its code is not understood.
pub fn plan_go(machine: Machine, code: &[u8], arguments: usize) -> Option<AttachPlan> {
    let body = Body::decode(machine, code)?;
    let entry = body.entry(&Convention::Go.registers(arguments));
    let returns = body.returns();
    // The programs also want to know how deep the stack is.
    let entry = if entry.on_return_address { entry.offset } else { 0 };
    (!returns.is_empty()).then_some(AttachPlan { entry, result: ReturnPoint::Probes(returns) })
}

/// Where the arguments are read.
struct Entry {
    offset: u64,
    /// Whether the stack pointer has not been changed up to here.
    on_return_address: bool,
}

/// A function's instructions, from its first to its last byte.
struct Body<'a> {
    code: &'a [u8],
    instructions: Vec<Instruction>,
    /// Where its own jumps lead.
    targets: BTreeSet<u64>,
}

impl<'a> Body<'a> {
    /// None for other machines, and if a byte of it is no instruction, since then no offset can be trusted.
    fn decode(machine: Machine, code: &'a [u8]) -> Option<Self> {
        if machine != Machine::X86_64 || code.is_empty() {
            return None;
        }
        let instructions: Vec<Instruction> = Decoder::with_ip(64, code, 0, DecoderOptions::NONE).into_iter().collect();
        if instructions.iter().any(Instruction::is_invalid) {
            return None;
        }
        let targets = instructions.iter().filter(|i| is_jump(i)).map(Instruction::near_branch_target).collect();
        Some(Self { code, instructions, targets })
    }

    /// The first emulated instruction that is reached with all of `arguments`, or else the first instruction.
    fn entry(&self, arguments: &[Register]) -> Entry {
        let mut on_return_address = true;
        let mut factory = InstructionInfoFactory::new();
        for instruction in &self.instructions {
            let offset = instruction.ip();
            // A jump back here would pass the probe again. One to the beginning starts the call anew, as Go does once it has
            // enlarged the stack.
            if offset > 0 && self.targets.contains(&offset) {
                break;
            }
            if self.is_emulated(instruction) {
                return Entry { offset, on_return_address };
            }
            let moved = arguments.iter().any(|&argument| writes(&mut factory, instruction, argument));
            if moved || instruction.flow_control() != FlowControl::Next {
                break;
            }
            on_return_address &= !writes(&mut factory, instruction, Register::RSP);
        }
        Entry { offset: 0, on_return_address: true }
    }

    /// The offsets of all `RET` instructions.
    fn returns(&self) -> Vec<u64> {
        self.instructions.iter().filter(|i| i.flow_control() == FlowControl::Return).map(Instruction::ip).collect()
    }

    /// Where compilers check for a smashed stack: the emulated jump of that check stands on the way to a `RET`, and its result
    /// no longer changes behind it. None unless each way out of the function passes such a check.
    fn stack_checks(&self) -> Option<Vec<u64>> {
        let size = self.code.len() as u64;
        let leaves = |i: &Instruction| {
            i.flow_control() == FlowControl::IndirectBranch || (is_jump(i) && i.near_branch_target() >= size)
        };
        if self.instructions.iter().any(leaves) {
            return None;
        }
        let mut checks = Vec::new();
        for (n, instruction) in self.instructions.iter().enumerate() {
            if instruction.flow_control() == FlowControl::Return {
                checks.push(self.check_before(n)?);
            }
        }
        (!checks.is_empty()).then_some(checks)
    }

    /// The check that every way to the `RET` at index `n` passes.
    fn check_before(&self, n: usize) -> Option<u64> {
        let mut factory = InstructionInfoFactory::new();
        let mut entered_behind = self.is_target(n)?;
        for (before, instruction) in self.instructions.get(..n)?.iter().enumerate().rev() {
            if entered_behind {
                return None;
            }
            if instruction.is_jcc_short_or_near() {
                let guard = self.instructions.get(before.checked_sub(1)?)?;
                return (reads_canary(guard) && self.fails(instruction)).then_some(instruction.ip());
            }
            if instruction.flow_control() != FlowControl::Next || writes(&mut factory, instruction, Register::RAX) {
                return None;
            }
            entered_behind = self.is_target(before)?;
        }
        None
    }

    /// Whether a jump of this function leads to the instruction at index `n`.
    fn is_target(&self, n: usize) -> Option<bool> {
        Some(self.targets.contains(&self.instructions.get(n)?.ip()))
    }

    /// Whether a jump that is taken leads to a call alone, as of `__stack_chk_fail`, which does not return.
    fn fails(&self, jump: &Instruction) -> bool {
        let target = self.instructions.iter().find(|i| i.ip() == jump.near_branch_target());
        jump.code().condition_code() == iced_x86::ConditionCode::ne
            && target.is_some_and(|target| target.flow_control() == FlowControl::Call)
    }

    /// Whether every kernel from 4.16 on emulates an instruction: those forms alone that compilers write.
    fn is_emulated(&self, instruction: &Instruction) -> bool {
        let bytes = usize::try_from(instruction.ip()).ok().and_then(|at| self.code.get(at..at + instruction.len()));
        matches!(
            bytes,
            Some(
                [0x70..=0x7f | 0xeb, _]
                    | [0x0f, 0x80..=0x8f, _, _, _, _]
                    | [0xe8 | 0xe9, _, _, _, _]
                    | [0x90 | 0x50..=0x57]
                    | [0x66, 0x90]
                    | [0x41, 0x50..=0x57]
            )
        )
    }
}

/// Whether it jumps, always or on a condition, to where its operand says.
fn is_jump(instruction: &Instruction) -> bool {
    matches!(instruction.flow_control(), FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch)
}

/// Whether it compares with the canary, where the C libraries of Linux keep it (`%fs:0x28`).
fn reads_canary(instruction: &Instruction) -> bool {
    instruction.memory_segment() == Register::FS
        && instruction.memory_base() == Register::None
        && instruction.memory_index() == Register::None
        && instruction.memory_displacement64() == 0x28
        && matches!(instruction.mnemonic(), iced_x86::Mnemonic::Sub | iced_x86::Mnemonic::Xor | iced_x86::Mnemonic::Cmp)
}

/// Whether it may change a register, or a part of it.
fn writes(factory: &mut InstructionInfoFactory, instruction: &Instruction, register: Register) -> bool {
    factory.info(instruction).used_registers().iter().any(|used| {
        used.register().full_register() == register
            && matches!(
                used.access(),
                OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of Debian 12's libssl.so.3: `sub`, a canary, `test %edx,%edx`, `js` at 0x16; the canary's check is the `jne` at 0x38.
    const SSL_READ: &str = "4883ec1864488b042528000000488944240831c085d2782f4889e14863d2e83dfeffff85c07e038b0424488b5424086448\
         2b14252800000075444883c41831d231c931f631ffc3e8449ffeff488d1505d50400be4c070000488d3d62cc0400e82ca6feff31c031d2be0f\
         010000bf14000000e849a4feffb8ffffffffebace83db1feff";
    /// Of the same: `sub`, `call` at 4.
    const SSL_READ_EX: &str = "4883ec08e8c7fdffff31d285c00f48c24883c40831d231c931f631ffc3";
    /// Of Debian 12's node: `test`, `je` at 3; it ends in a jump to another function.
    const SSL_FREE: &str = "4885ff7416b8fffffffff00fc187e009000083e80185c074077e05c30f1f4000e97bd7ffff";
    /// Of Debian 12's libgnutls.so.30: two `xor`, and a jump to another function at 5. The second changes `rcx`.
    const GNUTLS_RECORD_SEND: &str = "4531c031c9e9669cffff";
    /// Of the same: `je` at 0xe.
    const GNUTLS_RECORD_RECV: &str = "4883ec0880bfb8060000004889d17440f687681100000174174889f2be17000000e8ea71050048984883c408c3\
         0f1f00448b8f700700004889f24531c0be170000004883c408e925eeffff0f1f4400008b876408000083f80374b583f80674b0488b0579811d\
         008338027f0948c7c068feffffebb341b862090000488d0d5ebc120031c0bf03000000488d1594b61200488d353bb51200e8b486ffffebce";
    /// As Go's compiler writes: `cmp 0x10(%r14),%rsp`, `jbe` to the end, a body with two `RET`, and at the end a call of
    /// `morestack` and a jump back to the beginning.
    const GO: &str = "493b66107618554889e54883ec08488404244883c4085dc331c0c3e800000000ebdd";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
        digits.chunks(2).map(pair).collect()
    }

    fn check(hex: &str, arguments: usize, entry: u64, result: ReturnPoint) {
        assert_eq!(plan(Machine::X86_64, &bytes(hex), arguments), AttachPlan { entry, result }, "{hex}");
    }

    #[test]
    fn functions_of_libraries_are_probed_where_it_is_cheap() {
        check(SSL_READ, 3, 0x16, ReturnPoint::Probes(vec![0x38]));
        check(SSL_FREE, 1, 3, ReturnPoint::Uretprobe(3));
        check(GNUTLS_RECORD_SEND, 3, 5, ReturnPoint::Uretprobe(5));
        assert_eq!(plan_entry(Machine::X86_64, &bytes(SSL_READ_EX), 4), 4);
        assert_eq!(plan_entry(Machine::X86_64, &bytes(GNUTLS_RECORD_RECV), 3), 0xe);
        // push %r12; mov %esi,%r12d
        check("41544189f4c3", 2, 0, ReturnPoint::Uretprobe(0));
    }

    #[test]
    fn a_uretprobe_goes_where_the_return_address_is_and_takes_the_entry_with_it() {
        check(SSL_READ_EX, 4, 0, ReturnPoint::Uretprobe(0));
        check(GNUTLS_RECORD_RECV, 3, 0, ReturnPoint::Uretprobe(0));
    }

    #[test]
    fn an_argument_that_was_moved_away_is_not_looked_for_later() {
        // mov %rdi,%rbx; xor %edi,%edi; je +0; ret
        assert_eq!(plan_entry(Machine::X86_64, &bytes("4889fb31ff7400c3"), 1), 0);
        // xor %r8d,%r8d; xor %ecx,%ecx; jmp: the fourth argument is gone.
        assert_eq!(plan_entry(Machine::X86_64, &bytes(GNUTLS_RECORD_SEND), 4), 0);
        // sub $1,%dil; je +0; ret: a part of it was changed.
        assert_eq!(plan_entry(Machine::X86_64, &bytes("4080ef017400c3"), 1), 0);
    }

    #[test]
    fn a_point_that_a_loop_comes_back_to_is_none() {
        // test %rdi,%rdi; je +3; dec %rdi; jmp to the je; ret
        assert_eq!(plan_entry(Machine::X86_64, &bytes("4885ff740548ffcfebf9c3"), 0), 0);
        assert_eq!(plan_entry(Machine::X86_64, &bytes("4885ff740548ffcf9090c3"), 0), 3);
    }

    #[test]
    fn results_are_taken_at_checks_only_if_every_way_out_passes_one_last() {
        let sound = bytes(SSL_READ);
        let changed = |at: usize, to: &[u8]| {
            let mut code = sound.clone();
            code[at..at + to.len()].copy_from_slice(to);
            plan(Machine::X86_64, &code, 3).result
        };
        // The check's jump becomes a je; the result is cleared behind it; a way out without a check is added.
        assert_eq!(changed(0x38, &[0x74]), ReturnPoint::Uretprobe(0));
        assert_eq!(changed(0x3e, &[0x31, 0xc0]), ReturnPoint::Uretprobe(0));
        assert_eq!(changed(0x1b, &[0xc3, 0x90, 0x90]), ReturnPoint::Uretprobe(0));
        // The last jump leads behind the check; to another function.
        assert_eq!(changed(0x7c, &[0xeb, 0xbc]), ReturnPoint::Uretprobe(0));
        assert_eq!(changed(0x7c, &[0xeb, 0x70]), ReturnPoint::Uretprobe(0));
        assert_eq!(changed(0x38, &[0x75]), ReturnPoint::Probes(vec![0x38]));
    }

    #[test]
    fn a_go_function_is_probed_at_each_ret() {
        let plan = plan_go(Machine::X86_64, &bytes(GO), 3).expect("decodes");
        assert_eq!(plan, AttachPlan { entry: 4, result: ReturnPoint::Probes(vec![0x17, 0x1a]) });
    }

    #[test]
    fn code_that_is_not_understood_is_probed_at_its_beginning() {
        let at_start = AttachPlan { entry: 0, result: ReturnPoint::Uretprobe(0) };
        let cut = &bytes(SSL_READ)[..0x15];
        for (machine, code) in [(Machine::Aarch64, bytes(SSL_READ)), (Machine::X86_64, cut.to_vec())] {
            assert_eq!(plan(machine, &code, 3), at_start);
            assert_eq!(plan_go(machine, &code, 3), None);
        }
        assert_eq!(plan(Machine::X86_64, &[], 3), at_start);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_have_a_plan_within_them(code in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let plan = plan(Machine::X86_64, &code, 3);
            let mut points = vec![plan.entry];
            match plan.result {
                ReturnPoint::Uretprobe(at) => points.push(at),
                ReturnPoint::Probes(at) => points.extend(at),
            }
            proptest::prop_assert!(points.iter().all(|&at| at == 0 || at < code.len() as u64));
            let _whatever = plan_go(Machine::X86_64, &code, 3);
        }
    }
}
