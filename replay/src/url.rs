//! URLs as they are shown.

/// `url` without the credentials in it, which are for whoever it leads to alone.
pub(crate) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.into() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let rest = authority.rsplit_once('@').map_or(rest, |(user, _)| rest.get(user.len() + 1..).unwrap_or_default());
    format!("{scheme}://{rest}")
}

#[cfg(test)]
mod tests {
    use super::without_credentials;

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
