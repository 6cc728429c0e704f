//! What is new in metrics since they were last exported (OTLP's delta temporality).

use std::collections::BTreeMap;
use std::sync::Arc;

use redtape_core::WallNanos;
use redtape_core::metric::{Family, Series, Snapshot, Value};

/// What tells a part of a series from all others of its family, whatever becomes of their labels: the number of the span that
/// began it; of those that no span did, the values of their labels.
type Identity = (u64, Vec<String>);

/// What was exported last.
#[derive(Debug, Default)]
pub(super) struct Deltas {
    at: Option<WallNanos>,
    families: BTreeMap<&'static str, BTreeMap<Identity, Value>>,
}

impl Deltas {
    /// The series that have changed, by how much, and since when: the last export, or `start`.
    pub(super) fn since(&self, start: WallNanos, snapshot: &Snapshot) -> (WallNanos, Arc<Snapshot>) {
        let changed = |family: &Family| {
            let known = self.families.get(family.name);
            let grown = |series: &Series| {
                let changes =
                    parts(series).filter_map(|(identity, value)| match known.and_then(|known| known.get(&identity)) {
                        Some(last) if last == value => None,
                        Some(last) => Some(value.since(last)),
                        None => Some(value.clone()),
                    });
                let value = changes.reduce(|mut sum, change| {
                    sum.merge(&change);
                    sum
                })?;
                Some(Series { value, values: series.values.clone(), parts: Vec::new(), ..*series })
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
            let parts = family.series.iter().flat_map(parts);
            known.extend(parts.map(|(identity, value)| (identity, value.clone())));
        }
    }
}

/// What a series is the sum of: each of it only grows.
fn parts(series: &Series) -> impl Iterator<Item = (Identity, &Value)> {
    let whole = series.parts.is_empty().then_some((series.born, &series.value));
    let parts = series.parts.iter().map(|(born, value)| (*born, value));
    let values = |born| if born == 0 { series.values.clone() } else { Vec::new() };
    whole.into_iter().chain(parts).map(move |(born, value)| ((born, values(born)), value))
}

#[cfg(test)]
mod tests {
    use redtape_core::MonoNanos;
    use redtape_core::metric::{FamilyKind, Scale};

    use super::*;

    fn snapshot(labels: &[&'static str], series: &[(&[&str], u128)]) -> Snapshot {
        let series = (1..).zip(series).map(|(born, (values, count))| Series {
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            overflow: values.is_empty(),
            // The last one goes on where it was, whoever comes before it.
            born: if values.is_empty() { 10 } else { born },
            updated: MonoNanos::ZERO,
            value: Value::Counter(*count),
            parts: Vec::new(),
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

    #[test]
    fn what_gets_another_name_is_not_told_once_more() {
        let edges = |edges: &[(&str, &[(u64, u128)])]| {
            let mut all = snapshot(&["server"], &vec![(&["x"][..], 0); edges.len()]);
            for (series, (server, parts)) in all.families[0].series.iter_mut().zip(edges) {
                series.values = vec![(*server).to_owned()];
                series.born = parts[0].0;
                series.value = Value::Counter(parts.iter().map(|(_, count)| count).sum());
                series.parts = parts.iter().map(|(born, count)| (*born, Value::Counter(*count))).collect();
                if let [_] = parts {
                    series.parts.clear();
                }
            }
            all
        };
        let mut deltas = Deltas::default();
        let mut tell = |snapshot: Snapshot| {
            let told = told(&deltas, &snapshot).1;
            deltas.exported(WallNanos::new(200), &snapshot);
            told
        };
        assert_eq!(tell(edges(&[("127.0.0.1", &[(1, 10), (2, 100)])])), [Value::Counter(110)]);
        // One of two servers has a name now, and the other one has less than both had.
        let parted = edges(&[("127.0.0.1", &[(1, 10)]), ("greetings", &[(2, 103), (7, 4)])]);
        assert_eq!(tell(parted), [Value::Counter(7)]);
        // Now both have the same.
        assert_eq!(tell(edges(&[("greetings", &[(1, 11), (2, 103), (7, 4)])])), [Value::Counter(1)]);
        assert_eq!(tell(edges(&[("greetings", &[(1, 11), (2, 103), (7, 4)])])), []);
    }
}
