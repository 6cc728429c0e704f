//! Sizes on the command line: `64M` is 64 MiB.

/// Parses a number of bytes: digits, and one of `K`, `M`, `G` for powers of 1024 (`KiB` and `kb` are taken as well).
///
/// # Errors
/// One line that names the form.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(format!("\"{text}\" is not a size; write bytes or K, M, G, as in 64M")),
    };
    let number: u64 = number.parse().map_err(|_| format!("\"{text}\" is not a size; write it as in 64M"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("\"{text}\" is too large"))
}

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
    use super::{parse_size, show_size};

    #[test]
    fn sizes() {
        let cases = [
            ("0", Ok(0)),
            ("4096", Ok(4096)),
            ("64M", Ok(64 << 20)),
            ("64 MiB", Ok(64 << 20)),
            ("1k", Ok(1024)),
            ("2Gb", Ok(2 << 30)),
            ("", Err("\"\" is not a size; write it as in 64M")),
            ("M", Err("\"M\" is not a size; write it as in 64M")),
            ("12X", Err("\"12X\" is not a size; write bytes or K, M, G, as in 64M")),
            ("1.5M", Err("\"1.5M\" is not a size; write bytes or K, M, G, as in 64M")),
            ("-1", Err("\"-1\" is not a size; write bytes or K, M, G, as in 64M")),
            ("18014398509481984G", Err("\"18014398509481984G\" is too large")),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_size(text), expected.map_err(str::to_owned), "{text:?}");
        }
    }

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
