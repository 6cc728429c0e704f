//! The functions of TLS libraries that are probed, and the programs that are attached to them.

/// A function and its programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probed {
    /// Its symbol.
    pub(crate) symbol: &'static str,
    /// How many of its arguments the program at its entry reads.
    pub(crate) arguments: usize,
    /// The program that wants its arguments.
    pub(crate) entry: Option<&'static str>,
    /// The programs that want its result: by a uretprobe, and by a probe behind the last change of the result.
    pub(crate) result: Option<(&'static str, &'static str)>,
}

const RESULT: Option<(&str, &str)> = Some(("tls_return", "tls_return_inside"));

const fn call(symbol: &'static str, arguments: usize, entry: &'static str) -> Probed {
    Probed { symbol, arguments, entry: Some(entry), result: RESULT }
}

const fn entry(symbol: &'static str, arguments: usize, entry: &'static str) -> Probed {
    Probed { symbol, arguments, entry: Some(entry), result: None }
}

/// OpenSSL, and its descendants.
pub(crate) static OPENSSL: &[Probed] = &[
    call("SSL_read", 3, "ssl_read"),
    call("SSL_read_ex", 4, "ssl_read_ex"),
    call("SSL_write", 2, "ssl_write"),
    call("SSL_write_ex", 4, "ssl_write_ex"),
    call("SSL_sendfile", 1, "ssl_sendfile"),
    Probed { symbol: "SSL_new", arguments: 0, entry: None, result: Some(("ssl_new", "ssl_new_inside")) },
    call("SSL_do_handshake", 1, "ssl_handshake"),
    call("SSL_shutdown", 1, "ssl_shutdown"),
    entry("SSL_set_fd", 2, "ssl_set_fd"),
    entry("SSL_set_rfd", 2, "ssl_set_fd"),
    entry("SSL_set_wfd", 2, "ssl_set_fd"),
    entry("SSL_clear", 1, "ssl_clear"),
    entry("SSL_up_ref", 1, "ssl_up_ref"),
    entry("SSL_free", 1, "tls_free"),
];

/// GnuTLS.
pub(crate) static GNUTLS: &[Probed] = &[
    call("gnutls_record_recv", 3, "gnutls_recv"),
    call("gnutls_record_send", 2, "gnutls_send"),
    call("gnutls_record_send2", 2, "gnutls_send"),
    call("gnutls_handshake", 1, "gnutls_handshake"),
    call("gnutls_bye", 1, "gnutls_bye"),
    call("gnutls_init", 1, "gnutls_init"),
    entry("gnutls_transport_set_int2", 2, "gnutls_set_int2"),
    entry("gnutls_deinit", 1, "tls_free"),
];

/// The functions to look for in a file that a process has mapped. `executable` says whether it is the program itself, which may have a
/// library linked into it.
pub(crate) fn functions_of(file_name: &str, executable: bool) -> Option<&'static [Probed]> {
    const LIKE_OPENSSL: [&str; 4] = ["libssl", "conscrypt", "tcnative", "boringssl"];
    if file_name.starts_with("libgnutls.so") || file_name.starts_with("libgnutls-") {
        return Some(GNUTLS);
    }
    (executable || LIKE_OPENSSL.iter().any(|part| file_name.contains(part)) || file_name.starts_with("_ssl."))
        .then_some(OPENSSL)
}

#[cfg(test)]
mod tests {
    use super::{GNUTLS, OPENSSL, Probed, functions_of};

    #[test]
    fn libraries_are_known_by_their_names() {
        for (name, executable, expected) in [
            ("libssl.so.3", false, Some(OPENSSL)),
            ("libssl-0e5f1b.so.1.1", false, Some(OPENSSL)),
            ("node", true, Some(OPENSSL)),
            ("libgnutls.so.30", false, Some(GNUTLS)),
            ("libnetty_tcnative_linux_x86_64.so", false, Some(OPENSSL)),
            ("_ssl.cpython-312-x86_64-linux-gnu.so", false, Some(OPENSSL)),
            ("libc.so.6", false, None),
        ] {
            let first = |functions: &[Probed]| functions[0].symbol;
            assert_eq!(functions_of(name, executable).map(first), expected.map(first), "{name}");
        }
    }
}
