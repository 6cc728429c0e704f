//! The text of OpenMetrics 1.0, and of Prometheus' older format: sorted and without a float, so that the same metrics are
//! always the same bytes.

use std::fmt::{self, Write};

use super::snapshot::{Family, FamilyKind, OVERFLOW_LABEL, Scale, Series, Snapshot, Value};
use crate::time::{MonoNanos, WallNanos};

/// The text formats that Prometheus reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// OpenMetrics 1.0 (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
    OpenMetrics,
    /// Prometheus' own, version 0.0.4: without units, exemplars and an end mark.
    Prometheus,
}

/// Writes `snapshot` as it is, without times: what a scrape wants. Series that were last updated before `since` are left
/// out; those that say nothing of when they were, and facts (`target_info`), never are.
///
/// Bounds of buckets are written in the same way in both formats (`le="5.0"`), so that it does not depend on the format
/// which series a scrape is stored in.
///
/// # Errors
///
/// Those of `out`.
pub fn write_text(out: &mut impl Write, snapshot: &Snapshot, format: TextFormat, since: MonoNanos) -> fmt::Result {
    let mut labels = String::new();
    for family in &snapshot.families {
        let lasting = |series: &&Series| family.kind == FamilyKind::Info || series.is_lasting(since);
        let mut shown = family.series.iter().filter(lasting).peekable();
        if shown.peek().is_none() {
            continue;
        }
        write_head(out, family, format)?;
        for series in shown {
            labels.clear();
            write_labels(&mut labels, family, series)?;
            write_series(out, family, &labels, &series.value, None)?;
        }
    }
    match format {
        TextFormat::OpenMetrics => out.write_str("# EOF\n"),
        TextFormat::Prometheus => Ok(()),
    }
}

/// Writes `snapshots`, each with the time that its samples shall carry, ending in `# EOF`.
///
/// With several snapshots, which must come in order of time, each series has one sample a snapshot: what a backfill wants
/// (`promtool tsdb create-blocks-from openmetrics` needs a timestamp on each sample). Labels without a value are left out;
/// to Prometheus that is the same.
///
/// # Errors
///
/// Those of `out`.
pub fn write_openmetrics(out: &mut impl Write, snapshots: &[(Option<WallNanos>, &Snapshot)]) -> fmt::Result {
    // Series only ever join, so the last snapshot has all families and all series of those before.
    let Some((_, last)) = snapshots.last() else {
        return out.write_str("# EOF\n");
    };
    for family in &last.families {
        if family.series.is_empty() {
            continue;
        }
        write_head(out, family, TextFormat::OpenMetrics)?;
        for series in &family.series {
            let mut labels = String::new();
            write_labels(&mut labels, family, series)?;
            for (time, snapshot) in snapshots {
                if let Some(then) = find(snapshot, family, series) {
                    write_series(out, family, &labels, &then.value, *time)?;
                }
            }
        }
    }
    out.write_str("# EOF\n")
}

/// The same series in another snapshot. Both are sorted, so a binary search finds it.
fn find<'a>(snapshot: &'a Snapshot, family: &Family, series: &Series) -> Option<&'a Series> {
    let at = snapshot.families.binary_search_by_key(&family.name, |other| other.name).ok()?;
    let candidates = &snapshot.families.get(at)?.series;
    let key = |series: &'a Series| (series.overflow, &series.values);
    let at = candidates.binary_search_by(|other| key(other).cmp(&(series.overflow, &series.values))).ok()?;
    candidates.get(at)
}

fn write_head(out: &mut impl Write, family: &Family, format: TextFormat) -> fmt::Result {
    let Family { name, help, .. } = family;
    if format == TextFormat::Prometheus {
        // Here a family is called as its samples are.
        let (suffix, kind) = match family.kind {
            FamilyKind::Counter => ("_total", "counter"),
            FamilyKind::Histogram => ("", "histogram"),
            FamilyKind::Info => ("_info", "gauge"),
        };
        return write!(out, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
    }
    writeln!(out, "# TYPE {name} {}", family.kind.as_str())?;
    let unit = match family.scale {
        Scale::Bytes => Some("bytes"),
        Scale::Seconds => Some("seconds"),
        Scale::None => None,
    };
    // A unit must be the name's last part; the legacy names of span metrics have none.
    if let Some(unit) = unit.filter(|unit| name.ends_with(unit)) {
        writeln!(out, "# UNIT {name} {unit}")?;
    }
    writeln!(out, "# HELP {name} {help}")
}

fn write_labels(out: &mut String, family: &Family, series: &Series) -> fmt::Result {
    if series.overflow {
        return write!(out, "{OVERFLOW_LABEL}=\"true\"");
    }
    for (label, value) in family.labels.iter().zip(&series.values).filter(|(_, value)| !value.is_empty()) {
        if !out.is_empty() {
            out.push(',');
        }
        write!(out, "{label}=\"")?;
        for char in value.chars() {
            match char {
                '\\' => out.push_str(r"\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str(r"\n"),
                _ => out.push(char),
            }
        }
        out.push('"');
    }
    Ok(())
}

fn write_series(
    out: &mut impl Write,
    family: &Family,
    labels: &str,
    value: &Value,
    time: Option<WallNanos>,
) -> fmt::Result {
    let name = family.name;
    let braces = |suffix| Braces { name, suffix, labels, bound: None };
    match value {
        Value::Counter(count) => write_sample(out, &braces("_total"), count, time),
        Value::Info => write_sample(out, &braces("_info"), &1, time),
        Value::Histogram(histogram) => {
            let mut below = 0;
            let bounds = histogram.bounds().iter().map(|&bound| Some(bound)).chain([None]);
            for (bound, count) in bounds.zip(histogram.counts()) {
                below += count;
                let bound = Some(Bound { bound, scale: family.scale });
                write_sample(out, &Braces { name, suffix: "_bucket", labels, bound }, &below, time)?;
            }
            write_sample(out, &braces("_count"), &below, time)?;
            write_sample(out, &braces("_sum"), &Decimal(histogram.sum(), family.scale), time)
        }
    }
}

fn write_sample(
    out: &mut impl Write,
    series: &Braces<'_>,
    value: &impl fmt::Display,
    time: Option<WallNanos>,
) -> fmt::Result {
    write!(out, "{series} {value}")?;
    if let Some(time) = time {
        write!(out, " {}", Decimal(u128::from(time.unix_nanos()), Scale::Seconds))?;
    }
    out.write_char('\n')
}

/// A sample's name and labels.
struct Braces<'a> {
    name: &'a str,
    suffix: &'a str,
    labels: &'a str,
    bound: Option<Bound>,
}

struct Bound {
    bound: Option<u64>,
    scale: Scale,
}

impl fmt::Display for Braces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, suffix, labels, bound } = self;
        write!(f, "{name}{suffix}")?;
        let comma = if labels.is_empty() { "" } else { "," };
        match bound {
            None if labels.is_empty() => Ok(()),
            None => write!(f, "{{{labels}}}"),
            Some(Bound { bound: None, .. }) => write!(f, "{{{labels}{comma}le=\"+Inf\"}}"),
            Some(Bound { bound: Some(bound), scale }) => {
                // OpenMetrics wants the bounds of buckets to look like floats.
                let point = if matches!(scale, Scale::Seconds) && bound % 1_000_000_000 != 0 { "" } else { ".0" };
                write!(f, "{{{labels}{comma}le=\"{}{point}\"}}", Decimal(u128::from(*bound), *scale))
            }
        }
    }
}

/// An integer in the unit of its scale: nanoseconds as seconds, exactly.
struct Decimal(u128, Scale);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NANOS: u128 = 1_000_000_000;
        let Self(value, scale) = *self;
        if scale != Scale::Seconds || value % NANOS == 0 {
            let whole = if scale == Scale::Seconds { value / NANOS } else { value };
            return write!(f, "{whole}");
        }
        let fraction = format!("{:09}", value % NANOS);
        write!(f, "{}.{}", value / NANOS, fraction.trim_end_matches('0'))
    }
}
