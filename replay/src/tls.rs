//! TLS, of which all that is spoken here goes by one implementation.

/// Makes ring the implementation of all clients. Another one may have been chosen by then, which is as good.
pub(crate) fn choose() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
