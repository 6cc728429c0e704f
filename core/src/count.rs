//! Numbers of things, in words.

use std::fmt;

/// So many things of this name, as in `1 span` and `2 spans`.
///
/// ```
/// use redtape_core::Count;
///
/// assert_eq!(Count(1, "span").to_string(), "1 span");
/// assert_eq!(Count(0, "process").to_string(), "0 processes");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Count(pub u64, pub &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, name) = self;
        let end = match name {
            _ if *count == 1 => "",
            name if name.ends_with('s') => "es",
            _ => "s",
        };
        write!(f, "{count} {name}{end}")
    }
}
