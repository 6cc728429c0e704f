//! Programs on functions of user space: loading, attaching to one process, detaching.

use std::io;
use std::num::NonZeroU32;
use std::path::Path;

use aya::Ebpf;
use aya::maps::{MapData, Stack};
use aya::programs::uprobe::{UProbeAttachLocation, UProbeLinkId, UProbeScope};
use aya::programs::{Program, ProgramError, UProbe};
use aya::sys::SyscallError;

use super::error::LoadError;
use super::probes::{Probes, go_on_with, program_error, take};

/// What the programs on a function's return go on with where plaintext was moved.
const KEEP: &str = "tls_keep";

/// A program that is attached to a function of a process.
#[derive(Debug)]
pub(crate) struct FunctionProbe {
    program: &'static str,
    link: UProbeLinkId,
}

/// Why a program could not be attached to a function.
#[derive(Debug)]
pub(crate) enum ProbeRefused {
    /// The recorder may not do this at all.
    NoPrivilege(String),
    /// The process has ended.
    Gone,
    /// Not at this place.
    Other(ProgramError),
}

/// Loads all programs on functions, which can put together so many records at a time. They cost nothing until they are attached.
pub(super) fn load_functions(programs: &mut Ebpf, scratches: u32) -> Result<(), LoadError> {
    for (_, program) in programs.programs_mut() {
        if let Program::UProbe(program) = program {
            program.load().map_err(|source| program_error("a program on functions", source))?;
        }
    }
    let mut free: Stack<MapData, u32> = take(programs, "TLS_FREE")?;
    for number in 0..scratches {
        free.push(number, 0).map_err(|_| LoadError::Map("TLS_FREE"))?;
    }
    go_on_with(programs, "AFTER_RETURN", 0, KEEP).map_err(|source| program_error(KEEP, source))
}

impl Probes {
    /// Attaches a program at an offset of a file, for one process.
    pub(crate) fn attach_function(
        &mut self,
        program: &'static str,
        path: &Path,
        offset: u64,
        tgid: u32,
    ) -> Result<FunctionProbe, ProbeRefused> {
        let scope = NonZeroU32::new(tgid).map_or(UProbeScope::CallingProcess, UProbeScope::OneProcess);
        let probe = self.function_program(program).map_err(ProbeRefused::Other)?;
        match probe.attach(UProbeAttachLocation::AbsoluteOffset(offset), path, scope) {
            Ok(link) => Ok(FunctionProbe { program, link }),
            Err(error) => Err(refusal(error)),
        }
    }

    /// Detaches a program again.
    pub(crate) fn detach_function(&mut self, FunctionProbe { program, link }: FunctionProbe) {
        if let Ok(probe) = self.function_program(program) {
            // Of a process that has ended, the kernel has detached it already.
            let _detached = probe.detach(link);
        }
    }

    fn function_program(&mut self, name: &str) -> Result<&mut UProbe, ProgramError> {
        self.programs.program_mut(name).ok_or(ProgramError::UnexpectedProgramType)?.try_into()
    }
}

fn refusal(error: ProgramError) -> ProbeRefused {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let mut kind = None;
    while let Some(error) = cause {
        kind = error
            .downcast_ref::<io::Error>()
            .or_else(|| error.downcast_ref::<SyscallError>().map(|error| &error.io_error));
        cause = if kind.is_some() { None } else { error.source() };
    }
    match kind.and_then(io::Error::raw_os_error) {
        Some(libc::EACCES | libc::EPERM) => ProbeRefused::NoPrivilege(error.to_string()),
        Some(libc::ESRCH | libc::ENOENT) => ProbeRefused::Gone,
        _ => ProbeRefused::Other(error),
    }
}
