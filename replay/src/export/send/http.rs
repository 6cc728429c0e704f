//! Requests over HTTP, and what refusals say.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity, Url};

use super::way::{BoxError, Refusal, short};
use crate::export::advice::{Trust, is_about_tls, told};
use crate::tls;

/// What is asked of an answer's body: it says what was rejected, in a few words.
const ANSWER_MAX: usize = 4 << 20;

const WITH_TLS: &str = "if the receiver speaks TLS there, write https://";

/// What to trust, and what to show, as PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::export) struct Tls {
    /// Certificates that the receiver's must come from; `None` for those that the system trusts.
    pub(in crate::export) roots: Option<Vec<u8>>,
    /// The certificate to show, and its key.
    pub(in crate::export) identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Any certificate is fine.
    pub(in crate::export) skip_verify: bool,
}

/// A receiver that is posted to.
#[derive(Debug)]
pub(in crate::export) struct Http {
    client: Client,
    url: Url,
    timeout: Duration,
    trust: Trust,
}

/// What a receiver answered.
#[derive(Debug)]
pub(in crate::export) struct Answer {
    pub(in crate::export) status: StatusCode,
    /// How long it wants to be left alone.
    rest: Option<Duration>,
    /// As much as there is of it.
    pub(in crate::export) body: Vec<u8>,
    /// Why the body is not whole.
    pub(in crate::export) cut: Option<Refusal>,
}

impl Http {
    /// A receiver at `url`, that gets `headers` with each request, and has `timeout` for an answer. `trust` says where
    /// certificates are named.
    ///
    /// # Errors
    ///
    /// The URL or the certificates cannot be used.
    pub(in crate::export) fn new(
        url: &str,
        headers: HeaderMap,
        timeout: Duration,
        tls: &Tls,
        trust: Trust,
    ) -> Result<Self, BoxError> {
        tls::choose();
        let url = Url::parse(url)?;
        let mut client = Client::builder()
            .user_agent(concat!("redtape/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            // Followed, a POST becomes a GET that arrives as nothing, and headers go to who was not named.
            .redirect(Policy::none())
            .timeout(timeout)
            .tls_danger_accept_invalid_certs(tls.skip_verify);
        // A proxy reaches what is not on this machine.
        if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            client = client.no_proxy();
        }
        if let Some(roots) = &tls.roots {
            client = client.tls_certs_only(Certificate::from_pem_bundle(roots)?);
        }
        if let Some((certificate, key)) = &tls.identity {
            client = client.identity(Identity::from_pem(&[key.as_slice(), b"\n", certificate].concat())?);
        }
        Ok(Self { client: client.build()?, url, timeout, trust })
    }

    /// Posts `body`. It is for whoever asks to say what an answer means, also if that is none of success.
    ///
    /// # Errors
    ///
    /// No answer came.
    pub(in crate::export) async fn post(&self, body: Bytes) -> Result<Answer, Refusal> {
        let sent = self.client.post(self.url.clone()).body(body).send().await;
        let mut response = sent.map_err(|error| self.unreached(error))?;
        let rest = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
        let mut answer = Answer { status: response.status(), rest, body: Vec::new(), cut: None };
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if answer.body.len() + chunk.len() <= ANSWER_MAX => answer.body.extend(chunk),
                Ok(Some(_)) => answer.cut = Some(Refusal::lasting("its answer is too long".into())),
                Ok(None) => break,
                Err(error) => answer.cut = Some(self.unreached(error)),
            }
            if answer.cut.is_some() {
                break;
            }
        }
        Ok(answer)
    }

    fn unreached(&self, error: reqwest::Error) -> Refusal {
        if error.is_timeout() {
            return Refusal::late(self.timeout);
        }
        let again = (!is_about_tls(&error) && !error.is_builder()).then_some(None);
        let refusal = Refusal { reason: told(&error.without_url(), self.trust), again };
        // Who speaks TLS alone hangs up.
        if self.url.scheme() == "http" { refusal.advised(&["Connection reset by peer"], WITH_TLS) } else { refusal }
    }
}

impl Answer {
    /// What an answer that is none of success means, of which `said` is the text.
    pub(in crate::export) fn refusal(&self, transient: bool, said: &str) -> Refusal {
        let (status, said) = (self.status, short(said));
        let colon = if said.is_empty() { "" } else { ": " };
        Refusal { reason: format!("it answered {status}{colon}{said}"), again: transient.then_some(self.rest) }
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(text: &str) -> Option<Duration> {
    let date = || httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok();
    text.trim().parse().ok().map(Duration::from_secs).or_else(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_told_in_seconds_or_as_a_date() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), None);
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!(retry_after(&date).is_some_and(|wait| wait > Duration::from_secs(90)));
    }

    #[test]
    fn what_a_receiver_says_is_bounded_and_no_command_for_a_terminal() {
        let answer = Answer { status: StatusCode::BAD_REQUEST, rest: None, body: Vec::new(), cut: None };
        assert_eq!(
            answer.refusal(false, "no\x1b[2J such tenant\n").reason,
            "it answered 400 Bad Request: no [2J such tenant"
        );
        assert_eq!(answer.refusal(false, "").reason, "it answered 400 Bad Request");
        assert!(answer.refusal(false, &"a".repeat(1000)).reason.len() < 300);
    }
}
