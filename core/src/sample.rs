//! Which traces are exported: OpenTelemetry's samplers, as functions of the trace id and of what the wire says.

use crate::ids::TraceId;

/// Decides which spans are exported as traces. Metrics count all spans, whatever it says.
///
/// Every span of a trace gets the same answer: the trace id decides, or the `sampled` flag that came with the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    parent_based: bool,
    root: Root,
}

/// What decides where no flag does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    AlwaysOn,
    AlwaysOff,
    /// Sampled are the trace ids whose 63 bits of randomness are below this.
    Below(u64),
}

/// The samplers' names (OpenTelemetry, "General SDK Configuration", `OTEL_TRACES_SAMPLER`).
pub(crate) const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

impl Sampler {
    /// The sampler of this name, with `ratio` from 0 to 1 for those that use one. `None` if there is no such sampler.
    pub fn new(name: &str, ratio: f64) -> Option<Self> {
        let (parent_based, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name),
        };
        let root = match root {
            "always_on" => Root::AlwaysOn,
            "always_off" => Root::AlwaysOff,
            "traceidratio" if ratio >= 1.0 => Root::AlwaysOn,
            // Any other number, none at all included, becomes one from 0 to 2^63.
            "traceidratio" => Root::Below((ratio * (1_u64 << 63) as f64) as u64),
            _ => return None,
        };
        Some(Self { parent_based, root })
    }

    /// Whether a span of this trace is exported; `flag` is the `sampled` flag of the trace context on the wire, if the trace
    /// came from there.
    pub fn samples(self, trace: TraceId, flag: Option<bool>) -> bool {
        match (flag.filter(|_| self.parent_based), self.root) {
            (Some(sampled), _) => sampled,
            (None, Root::AlwaysOn) => true,
            (None, Root::AlwaysOff) => false,
            (None, Root::Below(bound)) => {
                let [.., a, b, c, d, e, f, g, h] = trace.0;
                u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < bound
            }
        }
    }
}

impl Default for Sampler {
    /// `parentbased_always_on`
    fn default() -> Self {
        Self { parent_based: true, root: Root::AlwaysOn }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trace(low: u64) -> TraceId {
        TraceId((u128::from(low) | 7 << 64).to_be_bytes())
    }

    #[test]
    fn names_and_what_they_do() {
        let samples = |name, ratio, low, flag| Sampler::new(name, ratio).unwrap().samples(trace(low), flag);
        for name in SAMPLERS {
            let parent_based = name.starts_with("parentbased_");
            assert_eq!(samples(name, 0.0, 0, Some(true)), parent_based || name == "always_on", "{name}");
            assert_eq!(samples(name, 1.0, 0, Some(false)), !parent_based && name != "always_off", "{name}");
            assert_eq!(samples(name, 1.0, u64::MAX, None), !name.ends_with("always_off"), "{name}");
        }
        assert_eq!(Sampler::new("sometimes", 1.0), None);
        assert!(Sampler::default().samples(trace(1), None) && !Sampler::default().samples(trace(1), Some(false)));
    }

    /// The bound and the bits are those of the SDKs for Go and Rust, so that all of them choose the same traces.
    #[test]
    fn ratios_are_of_the_last_eight_bytes() {
        let half = Sampler::new("traceidratio", 0.5).unwrap();
        assert!(half.samples(trace(0x7fff_ffff_ffff_ffff), None));
        assert!(!half.samples(trace(0x8000_0000_0000_0000), None));
        let none = Sampler::new("traceidratio", f64::NAN).unwrap();
        assert!(!none.samples(trace(0), None));
    }

    proptest! {
        #[test]
        fn what_a_lower_ratio_samples_a_higher_does_too(low: u64, a in 0.0..=1.0, b in 0.0..=1.0) {
            let samples = |ratio| Sampler::new("traceidratio", ratio).unwrap().samples(trace(low), None);
            let (less, more) = if a < b { (a, b) } else { (b, a) };
            prop_assert!(!samples(less) || samples(more));
        }
    }
}
