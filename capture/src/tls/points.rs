//! Which program goes where in a file.

use std::io::{Read, Seek};

use super::attach_point::{AttachPlan, ReturnPoint, plan_go};
use super::elf::{ElfFile, Function};
use super::go::{GoError, go_functions, go_version};

/// Functions of Go's crypto/tls, the program on their entry, how many arguments it reads, and whether it wants to know when
/// they return. The first two are what matters.
const GO_FUNCTIONS: [(&str, &str, usize, bool); 5] = [
    ("crypto/tls.(*Conn).Read", "go_read", 3, true),
    ("crypto/tls.(*Conn).Write", "go_write", 3, true),
    ("crypto/tls.(*Conn).clientHandshake", "go_handshake", 1, true),
    ("crypto/tls.(*Conn).serverHandshake", "go_handshake", 1, true),
    ("crypto/tls.(*Conn).Close", "go_close", 1, false),
];
/// The program on a Go function's `RET`.
const GO_RETURN: &str = "go_return";

/// A BPF program, and where in a file it is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachPoint {
    /// The program's name.
    pub program: &'static str,
    /// The offset in the file.
    pub offset: u64,
}

/// Where programs go in a Go program that was linked with crypto/tls; empty if it was not, or if it is no Go program.
///
/// # Errors
/// [`GoError`] says why the program is not understood.
pub fn go_points<R: Read + Seek>(file: &ElfFile<R>) -> Result<Vec<AttachPoint>, GoError> {
    let mut points = Vec::new();
    if go_version(file)?.is_none() {
        return Ok(points);
    }
    let names = GO_FUNCTIONS.map(|(name, ..)| name);
    for (function, (name, program, arguments, returns)) in functions(file, &names)?.into_iter().zip(GO_FUNCTIONS) {
        let Some(function) = function else { continue };
        let plan = plan_go(file.machine(), file.code(&function)?, arguments).ok_or(GoError::Code(name))?;
        add(&mut points, &function, program, &plan, returns);
    }
    let has = |program| points.iter().any(|point| point.program == program);
    // With one of them alone, half of a conversation would be told as if it were all.
    if !has("go_read") || !has("go_write") {
        points.clear();
    }
    Ok(points)
}

/// By symbol where there are symbols: their table is the smaller one to read, and says where code begins.
fn functions<R: Read + Seek>(file: &ElfFile<R>, names: &[&str]) -> Result<Vec<Option<Function>>, GoError> {
    let found = file.functions(names)?;
    if found.iter().any(Option::is_some) { Ok(found) } else { go_functions(file, names) }
}

fn add(points: &mut Vec<AttachPoint>, function: &Function, program: &'static str, plan: &AttachPlan, returns: bool) {
    points.push(AttachPoint { program, offset: function.offset + plan.entry });
    if let (true, ReturnPoint::Probes(offsets)) = (returns, &plan.result) {
        points.extend(offsets.iter().map(|at| AttachPoint { program: GO_RETURN, offset: function.offset + at }));
    }
}
