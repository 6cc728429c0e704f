//! URLs as they are given and shown.

use std::path::Path;

/// `url` without the credentials in it, which are for whoever it leads to alone.
pub(crate) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.into() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let rest = authority.rsplit_once('@').map_or(rest, |(user, _)| rest.get(user.len() + 1..).unwrap_or_default());
    format!("{scheme}://{rest}")
}

/// The URL behind a flag that may stand without one. What stands there may be a tape that was meant for the command.
pub(crate) fn or_tape(text: &str) -> Result<String, String> {
    let is_tape = || text == "-" || text.ends_with(".tape") || Path::new(text).is_file();
    if !text.contains("://") && is_tape() {
        return Err("this is a tape, not a URL: write tapes before this flag, or a URL behind it".into());
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::{or_tape, without_credentials};

    #[test]
    fn a_tape_is_no_url() {
        for tape in ["run.tape", "-", "Cargo.toml"] {
            assert!(or_tape(tape).is_err_and(|error| error.contains("before this flag")), "{tape}");
        }
        for url in ["http://tempo:4317", "http://a/run.tape", "tempo:4317"] {
            assert_eq!(or_tape(url).as_deref(), Ok(url));
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        for (url, shown) in [
            ("http://user:pa55@tempo:4317/a@b", "http://tempo:4317/a@b"),
            ("http://a@b@tempo", "http://tempo"),
            ("http://tempo/?x=a@b", "http://tempo/?x=a@b"),
            ("tempo:4317", "tempo:4317"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }
}
