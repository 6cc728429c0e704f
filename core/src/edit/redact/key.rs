//! Tokens that are equal for equal values, by a keyed hash.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::policy::PolicyError;

/// What a token begins with.
const MARK: u8 = b'~';
/// Bytes of the hash in a token, in base64 without padding: all of it.
const DIGITS: usize = 43;
/// What fills up a token of a value that is longer.
const FILLER: u8 = b'*';
/// Bytes that a key has at least.
const MIN_KEY: usize = 16;

/// A secret key. It never gets on a tape.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// A key of these bytes, all of which count.
    ///
    /// # Errors
    /// There are fewer than 16.
    pub fn new(bytes: &[u8]) -> Result<Self, PolicyError> {
        if bytes.len() < MIN_KEY {
            return Err(PolicyError::ShortKey(bytes.len()));
        }
        let hmac = Hmac::new_from_slice(bytes).expect("invariant: HMAC takes keys of any length");
        Ok(Self(hmac))
    }

    /// Overwrites `value` with its token, which is as long.
    pub(super) fn put_token(&self, value: &mut [u8]) {
        let mut hmac = self.0.clone();
        hmac.update(value);
        let digits = base64_digits(&hmac.finalize().into_bytes());
        let token = std::iter::once(MARK).chain(digits).chain(std::iter::repeat(FILLER));
        value.iter_mut().zip(token).for_each(|(slot, byte)| *slot = byte);
    }
}

/// The hash in base64url without padding.
fn base64_digits(hash: &[u8]) -> impl Iterator<Item = u8> + use<> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash).into_bytes().into_iter()
}

/// Whether `value` looks like a token.
pub(super) fn is_token(value: &[u8]) -> bool {
    let Some((&MARK, rest)) = value.split_first() else { return false };
    let (digits, filler) = rest.split_at_checked(DIGITS).unwrap_or((rest, &[]));
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    digits.iter().all(digit) && filler.iter().all(|&byte| byte == FILLER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_as_long_as_the_values_and_known_as_tokens() {
        let [one, other] = [[1; 16], [2; 16]].map(|key| Key::new(&key).unwrap());
        for len in [1, 2, 9, 43, 44, 45, 100] {
            let token = |key: &Key, byte| {
                let mut value = vec![byte; len];
                key.put_token(&mut value);
                assert_eq!(value.len(), len);
                assert!(is_token(&value), "{len}");
                value
            };
            assert_eq!(token(&one, b'a'), token(&one, b'a'));
            if len > 8 {
                assert_ne!(token(&one, b'a'), token(&one, b'b'));
                assert_ne!(token(&one, b'a'), token(&other, b'a'));
            }
        }
        assert!(!is_token(b"secret") && !is_token(b"~no token") && !is_token(b""));
        assert!(Key::new(b"short").is_err());
    }
}
