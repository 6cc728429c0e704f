//! What is new in metrics since they were last exported (OTLP's delta temporality).

use std::collections::BTreeMap;
use std::sync::Arc;

use redtape_core::WallNanos;
use redtape_core::metric::{Family, Series, Snapshot, Value};

/// What tells a series from all others of its family. Not the values alone: labels may come to a family later.
type Labels = Vec<(&'static str, String)>;

/// What was exported last.
#[derive(Debug, Default)]
pub(super) struct Deltas {
    at: Option<WallNanos>,
    families: BTreeMap<&'static str, BTreeMap<Labels, Value>>,
}

impl Deltas {
    /// The series that have changed, by how much, and since when: the last export, or `start`.
    pub(super) fn since(&self, start: WallNanos, snapshot: &Snapshot) -> (WallNanos, Arc<Snapshot>) {
        let changed = |family: &Family| {
            let known = self.families.get(family.name);
            let grown = |series: &Series| {
                let value = match known.and_then(|known| known.get(&labels(family, series))) {
                    Some(last) if *last == series.value => return None,
                    Some(last) => series.value.since(last),
                    None => series.value.clone(),
                };
                Some(Series { value, values: series.values.clone(), ..*series })
            };
            let series = family.series.iter().filter_map(grown).collect();
            Family { series, labels: family.labels.clone(), ..*family }
        };
        let families = snapshot.families.iter().map(changed).collect();
        (self.at.unwrap_or(start), Arc::new(Snapshot { families, observed: snapshot.observed }))
    }

    /// Takes what was exported.
    pub(super) fn exported(&mut self, at: WallNanos, snapshot: &Snapshot) {
        self.at = Some(at);
        for family in &snapshot.families {
            let known = self.families.entry(family.name).or_default();
            known.extend(family.series.iter().map(|series| (labels(family, series), series.value.clone())));
        }
    }
}

fn labels(family: &Family, series: &Series) -> Labels {
    let given = family.labels.iter().zip(&series.values).filter(|(_, value)| !value.is_empty());
    let overflow = series.overflow.then(|| ("", String::new()));
    given.map(|(name, value)| (*name, value.clone())).chain(overflow).collect()
}

#[cfg(test)]
mod tests {
    use redtape_core::MonoNanos;
    use redtape_core::metric::{FamilyKind, Scale};

    use super::*;

    fn snapshot(labels: &[&'static str], series: &[(&[&str], u128)]) -> Snapshot {
        let series = series.iter().map(|(values, count)| Series {
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            overflow: values.is_empty(),
            born: 1,
            updated: MonoNanos::ZERO,
            value: Value::Counter(*count),
        });
        let family = Family {
            name: "calls",
            otel_name: "calls",
            help: "",
            kind: FamilyKind::Counter,
            scale: Scale::None,
            labels: labels.to_vec(),
            series: series.collect(),
        };
        Snapshot { families: vec![family], observed: 0 }
    }

    fn told(deltas: &Deltas, snapshot: &Snapshot) -> (u64, Vec<Value>) {
        let (start, changed) = deltas.since(WallNanos::new(100), snapshot);
        let values = changed.families[0].series.iter().map(|series| series.value.clone());
        (start.unix_nanos(), values.collect())
    }

    #[test]
    fn only_what_is_new_is_told() {
        let mut deltas = Deltas::default();
        let first = snapshot(&["route"], &[(&["/a"], 3), (&["/b"], 1), (&[], 7)]);
        assert_eq!(told(&deltas, &first), (100, [3, 1, 7].map(Value::Counter).into()));
        assert_eq!(told(&deltas, &first).0, 100, "it was not exported");
        deltas.exported(WallNanos::new(160), &first);
        assert_eq!(told(&deltas, &first), (160, Vec::new()));
        // A label has come, which the old series do not have.
        let second = snapshot(&["pod", "route"], &[(&["", "/a"], 5), (&["", "/b"], 1), (&["x", "/a"], 4), (&[], 8)]);
        assert_eq!(told(&deltas, &second), (160, [2, 4, 1].map(Value::Counter).into()));
    }
}
