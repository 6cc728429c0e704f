//! Connections, as given on the command line.

/// Reads what `events` shows of a connection, or its number.
///
/// # Errors
///
/// It is neither.
pub(crate) fn conn_name(text: &str) -> Result<String, String> {
    let shown = text.strip_prefix('c').is_some_and(|key| key.len() == 8 && u32::from_str_radix(key, 16).is_ok());
    if shown || text.parse::<u64>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("a connection is written as `redtape events` shows it, as in `c1a2b3c4d`, or by its number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::conn_name;

    #[test]
    fn connections_have_two_names() {
        for (text, right) in [("c1a2b3c4d", true), ("4711", true), ("c1a2b3", false), ("1a2b3c4de", false), ("", false)]
        {
            assert_eq!(conn_name(text).is_ok(), right, "{text}");
        }
    }
}
