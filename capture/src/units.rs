//! Sizes for people.

/// Writes a number of bytes for people: at most three digits and a unit.
pub(crate) fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut shown = bytes as f64 / 1024.0;
    let mut unit = 0;
    while shown >= 999.5 && unit + 1 < UNITS.len() {
        shown /= 1024.0;
        unit += 1;
    }
    if shown < 99.95 { format!("{shown:.1} {}", UNITS[unit]) } else { format!("{shown:.0} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::show_size;

    #[test]
    fn shown() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (64 << 20, "64.0 MiB"),
            (1000 << 20, "1.0 GiB"),
            (200 << 30, "200 GiB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(show_size(bytes), expected);
        }
    }
}
