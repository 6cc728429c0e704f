//! TLS, of which all that is spoken here goes by one implementation.

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Makes ring the implementation of all clients. Another one may have been chosen by then, which is as good.
pub(crate) fn choose() {
    let _ = ring::default_provider().install_default();
}

/// Whether there are certificates in a file, which would otherwise trust nobody without a word.
pub(crate) fn check_roots(pem: &[u8]) -> Result<(), String> {
    certificates(pem).map(drop)
}

/// Whether a certificate and its key can be shown.
pub(crate) fn check_identity(certificate: &[u8], key: &[u8]) -> Result<(), String> {
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("there is no key in it, as PEM: {error}"))?;
    match CertifiedKey::from_der(chain, key, &ring::default_provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err("the key is that of another certificate".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err("there is no certificate in it, as PEM".into()),
        Ok(all) => Ok(all),
        Err(error) => Err(format!("there is no certificate in it, as PEM: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_told() {
        assert_eq!(check_roots(b"a tape").unwrap_err(), "there is no certificate in it, as PEM");
        let cut = b"-----BEGIN CERTIFICATE-----\nAA";
        assert!(check_roots(cut).unwrap_err().starts_with("there is no certificate in it, as PEM: "));
        assert!(check_identity(b"", b"").unwrap_err().contains("no certificate"));
    }
}
