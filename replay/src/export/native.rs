//! Native histograms as Prometheus has them, in whatever message they go out.

use prost::Message;
use redtape_core::metric::{Histogram, Resolution, Scale};

/// The width of the bucket around zero: Prometheus' default. All that is in it is zero.
pub(crate) const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

/// Buckets that follow one another (`BucketSpan` of `io.prometheus.client` and of `prompb`).
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct BucketSpan {
    /// Of the first span the index of its first bucket; of others the empty buckets before it.
    #[prost(sint32, tag = "1")]
    pub(crate) offset: i32,
    #[prost(uint32, tag = "2")]
    pub(crate) length: u32,
}

/// What of a native histogram is not in its sum and count.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Native {
    pub(crate) schema: i32,
    pub(crate) zeros: u64,
    pub(crate) spans: Vec<BucketSpan>,
    /// By how much each bucket has more than the one before.
    pub(crate) deltas: Vec<i64>,
}

impl Native {
    /// That of `histogram`, as fine as `resolution` allows; `None` if it was not counted so.
    pub(crate) fn of(histogram: &Histogram, resolution: Resolution) -> Option<Self> {
        let counted = histogram.exponential()?.coarser(resolution);
        let mut native = Self { schema: counted.scale().into(), zeros: counted.zeros(), ..Self::default() };
        let (mut last, mut next) = (0, 0);
        // Prometheus numbers buckets by their upper bounds, OpenTelemetry by their lower ones.
        for (index, &count) in (counted.offset() + 1..).zip(counted.counts()).filter(|(_, count)| **count > 0) {
            match native.spans.last_mut().filter(|_| index == next) {
                Some(span) => span.length += 1,
                None => native.spans.push(BucketSpan { offset: index - next, length: 1 }),
            }
            next = index + 1;
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            native.deltas.push(count - last);
            last = count;
        }
        Some(native)
    }
}

/// A sum in the unit that it is told in.
pub(crate) fn scaled(value: u128, scale: Scale) -> f64 {
    if scale == Scale::Seconds { value as f64 / 1e9 } else { value as f64 }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn empty_buckets_part_spans() {
        let resolution = Resolution { max_scale: 0, max_size: 160 };
        let mut histogram = Histogram::new(Arc::from([])).with_exponential(Some(resolution), Scale::Bytes);
        [0, 1, 2, 2, 2, 3, 64].into_iter().for_each(|value| histogram.record(value));
        let native = Native::of(&histogram, resolution).unwrap();
        // The upper bounds are 2^0, 2^1 and 2^2, and 2^6.
        let spans = [(0, 3), (3, 1)].map(|(offset, length)| BucketSpan { offset, length });
        assert_eq!(native, Native { schema: 0, zeros: 1, spans: spans.into(), deltas: vec![1, 2, -2, 0] });
        let coarse = Native::of(&histogram, Resolution { max_scale: -1, ..resolution }).unwrap();
        assert_eq!((coarse.schema, &*coarse.deltas), (-1, &[1, 3, -3][..]));
        assert_eq!(Native::of(&Histogram::new(Arc::from([])), resolution), None);
    }
}
