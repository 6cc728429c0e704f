//! What to do about a receiver that cannot be spoken to, where the error tells: what is wrong with TLS, or that it speaks
//! another protocol.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError, InvalidMessage};

use crate::failure::chain;

/// How whoever sends says what to trust and what to show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trust {
    /// Where the issuer's certificate is named.
    pub(super) issuer: &'static str,
    /// Where the client's certificate is named, if one can be shown.
    pub(super) own: Option<&'static str>,
}

/// Whether TLS is at fault, which no other try mends.
pub(super) fn is_about_tls(error: &(dyn Error + 'static)) -> bool {
    tls_error(error).is_some()
}

/// An error and its causes in one line, each said once, with what to do about it if TLS is at fault.
pub(super) fn told(error: &(dyn Error + 'static), trust: Trust) -> String {
    let chain = chain(error);
    match tls_error(error).and_then(|error| about_tls(error, trust)) {
        Some(advice) => format!("{chain}: {advice}"),
        None => chain,
    }
}

/// The error of TLS among the causes. It may be wrapped in errors of I/O, whose `source` passes over it.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let wrapped = || error.downcast_ref::<io::Error>()?.get_ref();
    error
        .downcast_ref()
        .or_else(|| wrapped().and_then(|error| tls_error(error)))
        .or_else(|| error.source().and_then(tls_error))
}

fn about_tls(error: &rustls::Error, trust: Trust) -> Option<String> {
    let Trust { issuer, own } = trust;
    Some(match error {
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the receiver does not speak TLS there; write http:// instead of https://".into()
        }
        rustls::Error::InvalidCertificate(error) => match error {
            // Where somebody else of the issuer's name is trusted, as some `localhost` is, it is the signature that does not fit.
            CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                format!("nobody who is trusted has issued the receiver's certificate; name the issuer's, {issuer}")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the receiver's certificate is for another name; write the URL with a name or an address that is in it"
                    .into()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the receiver needs a new certificate, unless the clock here is wrong".into()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the receiver's certificate is of the future; is the clock here right?".into()
            }
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                "the receiver shows the certificate of a CA itself; it needs one of its own, issued by that CA".into()
            }
            _ => return None,
        },
        rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate,
        ) => match own {
            Some(own) => format!("the receiver wants a certificate that it knows; name it, {own}"),
            None => "the receiver wants a certificate, and none can be shown to it here".into(),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use rustls::{Error as TlsError, OtherError};

    use super::*;

    const TRUST: Trust = Trust { issuer: "--issuer", own: Some("--own") };

    /// The error as clients wrap it.
    fn wrapped(error: TlsError) -> io::Error {
        io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn each_mistake_with_tls_has_its_remedy() {
        let certificate = TlsError::InvalidCertificate;
        let ca = CertificateError::Other(OtherError(std::sync::Arc::new(io::Error::other("CaUsedAsEndEntity"))));
        for (error, says) in [
            (InvalidMessage::InvalidContentType.into(), "write http:// instead of https://"),
            (certificate(CertificateError::UnknownIssuer), "name the issuer's, --issuer"),
            (certificate(CertificateError::BadSignature), "name the issuer's, --issuer"),
            (certificate(CertificateError::NotValidForName), "for another name"),
            (certificate(CertificateError::Expired), "needs a new certificate"),
            (certificate(CertificateError::NotValidYet), "is the clock here right?"),
            (certificate(ca), "the certificate of a CA itself"),
            (TlsError::AlertReceived(AlertDescription::CertificateRequired), "name it, --own"),
        ] {
            let error = wrapped(error);
            let told = told(&error, TRUST);
            assert!(is_about_tls(&error) && told.contains(says), "{told}");
        }
    }

    #[test]
    fn what_is_no_mistake_with_tls_is_told_as_it_is() {
        let refused = io::Error::other(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert!(!is_about_tls(&refused));
        assert_eq!(told(&refused, TRUST), "connection refused");
    }
}
