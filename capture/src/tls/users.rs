//! Which processes have TLS mapped: of libraries that are seen into, and of ones that are known not to be.

use procfs::process::{MMPermissions, MMapPath, Process};
use redtape_core::Tgid;

use super::functions::functions_of;

/// What is known of a process's TLS by the files that it has mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsUse {
    /// A library that is seen into.
    Seen,
    /// A Java machine, whose own TLS is not seen. (One that uses OpenSSL is of the other kind.)
    Java,
}

/// What a process uses; None if nothing is known, as of a library that is linked into a program.
pub(crate) fn tls_use(tgid: Tgid) -> Option<TlsUse> {
    let maps = Process::new(i32::try_from(tgid.0).ok()?).ok()?.maps().ok()?;
    let mut java = false;
    for map in maps {
        let MMapPath::Path(path) = &map.pathname else { continue };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if map.perms.contains(MMPermissions::EXECUTE) && functions_of(&name, false).is_some() {
            return Some(TlsUse::Seen);
        }
        java |= name == "libjvm.so";
    }
    java.then_some(TlsUse::Java)
}
