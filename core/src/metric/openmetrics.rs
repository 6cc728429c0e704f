//! The text of OpenMetrics 1.0, and of Prometheus' older format: sorted and without a float, so that the same metrics are
//! always the same bytes.

use std::fmt::{self, Write};

use super::exemplar::Exemplar;
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

/// How a snapshot is written.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// In which format.
    pub format: TextFormat,
    /// Series that were last updated before this are left out; those that say nothing of when they were, and facts
    /// (`target_info`), never are.
    pub since: MonoNanos,
    /// How exemplars are told; `None` for not at all. Prometheus' older format has none.
    pub exemplars: Option<&'a dyn Fn(&Exemplar) -> Exemplar>,
}

impl Text<'_> {
    /// All series, without exemplars.
    pub const fn plain(format: TextFormat) -> Self {
        Self { format, since: MonoNanos::ZERO, exemplars: None }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text").field("format", &self.format).field("since", &self.since).finish_non_exhaustive()
    }
}

/// Writes `snapshot` as it is, without times: what a scrape wants.
///
/// Bounds of buckets are written in the same way in both formats (`le="5.0"`), so that it does not depend on the format
/// which series a scrape is stored in.
///
/// # Errors
///
/// Those of `out`.
pub fn write_text(out: &mut impl Write, snapshot: &Snapshot, text: &Text<'_>) -> fmt::Result {
    let Text { format, since, .. } = *text;
    let exemplars = text.exemplars.filter(|_| format == TextFormat::OpenMetrics);
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
            write_labels(&mut labels, &family.labels, (!series.overflow).then_some(&series.values))?;
            write_series(out, family, &labels, &series.value, When { time: None, exemplars })?;
        }
    }
    match format {
        TextFormat::OpenMetrics => out.write_str("# EOF\n"),
        TextFormat::Prometheus => Ok(()),
    }
}

pub(super) fn write_head(out: &mut impl Write, family: &Family, format: TextFormat) -> fmt::Result {
    let Family { name, help, .. } = family;
    if format == TextFormat::Prometheus {
        // Here a family is called as its samples are.
        let suffix = family.kind.suffix();
        let kind = if family.kind == FamilyKind::Info { "gauge" } else { family.kind.as_str() };
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

/// Those of the overflow series, where there are no values. Labels without a value are left out; to Prometheus that is the same.
pub(super) fn write_labels(out: &mut String, names: &[&'static str], values: Option<&[String]>) -> fmt::Result {
    let Some(values) = values else {
        return write!(out, "{OVERFLOW_LABEL}=\"true\"");
    };
    let mut shown = names.iter().zip(values).filter(|(_, value)| !value.is_empty());
    shown.try_for_each(|(name, value)| write_label(out, name, value))
}

/// One more label.
pub(super) fn write_label(out: &mut String, name: &str, value: &str) -> fmt::Result {
    if !out.is_empty() {
        out.push(',');
    }
    write!(out, "{name}=\"")?;
    for char in value.chars() {
        match char {
            '\\' => out.push_str(r"\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str(r"\n"),
            _ => out.push(char),
        }
    }
    out.push('"');
    Ok(())
}

/// What samples have beside their values.
#[derive(Clone, Copy)]
pub(super) struct When<'a> {
    pub(super) time: Option<WallNanos>,
    pub(super) exemplars: Option<&'a dyn Fn(&Exemplar) -> Exemplar>,
}

impl From<WallNanos> for When<'_> {
    fn from(time: WallNanos) -> Self {
        Self { time: Some(time), exemplars: None }
    }
}

/// All samples of a series at one moment.
pub(super) fn write_series(
    out: &mut impl Write,
    family: &Family,
    labels: &str,
    value: &Value,
    when: When<'_>,
) -> fmt::Result {
    let When { time, exemplars } = when;
    let name = family.name;
    let braces = |suffix| Braces { name, suffix, labels, bound: None };
    match value {
        Value::Counter(count) => write_sample(out, &braces("_total"), count, time),
        Value::Info => write_sample(out, &braces("_info"), &1, time),
        Value::Histogram(histogram) => {
            let mut below = 0;
            let bounds = histogram.bounds().iter().map(|&bound| Some(bound)).chain([None]);
            for (at, (bound, count)) in bounds.zip(histogram.counts()).enumerate() {
                below += count;
                let bound = Some(Bound { bound, scale: family.scale });
                write!(out, "{} {below}", Braces { name, suffix: "_bucket", labels, bound })?;
                write_time(out, time)?;
                if let Some(exemplar) = exemplars.and_then(|tell| histogram.exemplar(at).map(tell)) {
                    write_exemplar(out, &exemplar, family.scale)?;
                }
                out.write_char('\n')?;
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
    write_time(out, time)?;
    out.write_char('\n')
}

fn write_time(out: &mut impl Write, time: Option<WallNanos>) -> fmt::Result {
    match time {
        Some(time) => write!(out, " {}", Decimal(u128::from(time.unix_nanos()), Scale::Seconds)),
        None => Ok(()),
    }
}

/// With the labels that Beyla has, too, and that Grafana follows unless it is told otherwise. Together they are within the
/// 128 characters that OpenMetrics allows.
fn write_exemplar(out: &mut impl Write, exemplar: &Exemplar, scale: Scale) -> fmt::Result {
    let Exemplar { trace_id, span_id, value, at } = exemplar;
    write!(out, " # {{traceID=\"{trace_id}\",spanID=\"{span_id}\"}} {}", Decimal(u128::from(*value), scale))?;
    write_time(out, Some(*at))
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
            Some(bound) => write!(f, "{{{labels}{comma}le=\"{bound}\"}}"),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bound: Some(bound), scale } = *self else { return f.write_str("+Inf") };
        // OpenMetrics wants the bounds of buckets to look like floats.
        let point = if scale == Scale::Seconds && bound % 1_000_000_000 != 0 { "" } else { ".0" };
        write!(f, "{}{point}", Decimal(u128::from(bound), scale))
    }
}

/// What the label `le` says of a bucket's upper bound; `None` is the last bucket's.
pub fn bucket_bound(bound: Option<u64>, scale: Scale) -> String {
    Bound { bound, scale }.to_string()
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
