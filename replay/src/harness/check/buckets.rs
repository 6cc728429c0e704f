//! What is written of histograms agrees with itself: buckets, counts and sums.

use std::collections::BTreeMap;

use super::fault::Fault;
use super::metrics::{Found, shown};
use crate::harness::spec::Decimal;

/// What is written of one series of a histogram.
#[derive(Default)]
struct Written {
    /// Upper bounds, `None` for the last, and what is below them, in the order of the lines.
    buckets: Vec<(Option<Decimal>, Decimal)>,
    count: Option<Decimal>,
    has_sum: bool,
}

/// Checks all series of `histograms`, each a name and how many series there are. Something has to be there to be checked.
pub(super) fn buckets_and_counts<'a>(
    histograms: impl Iterator<Item = (&'a str, usize)>,
    found: &[Found],
) -> Option<Fault> {
    let mut compared = false;
    for (name, expected) in histograms {
        let all = match written(name, found) {
            Ok(all) => all,
            Err(message) => return Some(Fault::new(message)),
        };
        if all.len() != expected {
            return Some(Fault::new(format!("{name}: of {expected} series {} are written", all.len())));
        }
        compared |= expected > 0;
        for (labels, series) in &all {
            if let Some(wrong) = series.wrong() {
                return Some(Fault::new(format!("{name}{}: {wrong}", shown(labels))));
            }
        }
    }
    (!compared).then(|| Fault::new("there is no histogram to check: nothing was counted"))
}

/// The series of a histogram by their labels.
fn written(name: &str, found: &[Found]) -> Result<BTreeMap<BTreeMap<String, String>, Written>, String> {
    let mut all: BTreeMap<BTreeMap<String, String>, Written> = BTreeMap::new();
    for (sample, labels, value) in found {
        let Some(part) = sample.strip_prefix(name) else { continue };
        let mut labels = labels.clone();
        let bound = if part == "_bucket" { labels.remove("le") } else { None };
        match part {
            "_bucket" => {
                let bound = match bound.as_deref() {
                    Some("+Inf") => None,
                    Some(bound) => Some(bound.parse().map_err(|error| format!("{sample}: the bound {error}"))?),
                    None => return Err(format!("{sample}{}: has no bound (`le`)", shown(&labels))),
                };
                all.entry(labels).or_default().buckets.push((bound, *value));
            }
            "_count" => all.entry(labels).or_default().count = Some(*value),
            "_sum" => all.entry(labels).or_default().has_sum = true,
            // Of another metric, whose name begins alike.
            _ => {}
        }
    }
    Ok(all)
}

impl Written {
    /// What is wrong with it.
    fn wrong(&self) -> Option<String> {
        for (one, next) in self.buckets.iter().zip(self.buckets.iter().skip(1)) {
            // No bound is above all others.
            if one.0.is_none() || next.0.is_some_and(|bound| Some(bound) <= one.0) {
                return Some("the bounds of its buckets do not ascend".into());
            }
            if next.1 < one.1 {
                return Some(format!("a bucket has {}, less than the {} of the one below", next.1, one.1));
            }
        }
        let Some((None, last)) = self.buckets.last() else { return Some("its last bucket is not `+Inf`".into()) };
        match self.count {
            None => Some("has no `_count`".into()),
            Some(count) if count != *last => Some(format!("the buckets have {last}, the count is {count}")),
            Some(_) if !self.has_sum => Some("has no `_sum`".into()),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::observe::samples;

    fn check(text: &str, series: usize) -> Option<String> {
        buckets_and_counts([("h", series)].into_iter(), &samples(text)).map(|fault| fault.message)
    }

    #[test]
    fn what_is_written_agrees_with_itself() {
        let right =
            "h_bucket{a=\"b\",le=\"0.5\"} 1\nh_bucket{a=\"b\",le=\"+Inf\"} 3\nh_count{a=\"b\"} 3\nh_sum{a=\"b\"} 2.5\n";
        assert_eq!(check(right, 1), None);
        for (from, to, message) in [
            ("_count{a=\"b\"} 3", "_count{a=\"b\"} 4", "the buckets have 3, the count is 4"),
            ("0.5\"} 1", "0.5\"} 5", "less than"),
            ("+Inf", "0.1", "do not ascend"),
            ("+Inf", "0.7", "not `+Inf`"),
            ("h_sum", "i_sum", "no `_sum`"),
            ("h_count", "i_count", "no `_count`"),
            ("h_count{a=\"b\"}", "h_count{a=\"c\"}", "of 1 series 2"),
        ] {
            let wrong = right.replace(from, to);
            let found = check(&wrong, 1).unwrap_or_default();
            assert!(found.contains(message), "{wrong}: {found}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_right() {
        assert!(check("x_total 1\n", 0).is_some_and(|message| message.contains("no histogram")));
        assert!(check("x_total 1\n", 1).is_some_and(|message| message.contains("of 1 series 0")));
    }
}
