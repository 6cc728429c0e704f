//! The messages of remote write 1.0, as far as they are written here (`prompb/remote.proto` and `types.proto` of
//! Prometheus).

use prost::Message;

use crate::export::native::BucketSpan;

/// A request.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) timeseries: Vec<TimeSeries>,
}

/// Samples of one series, in order of time.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TimeSeries {
    /// Sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub(super) samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    pub(super) histograms: Vec<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Label {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Sample {
    #[prost(double, tag = "1")]
    pub(super) value: f64,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "2")]
    pub(super) timestamp: i64,
}

/// A native histogram of integers.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    pub(super) count: Option<u64>,
    #[prost(double, tag = "3")]
    pub(super) sum: f64,
    #[prost(sint32, tag = "4")]
    pub(super) schema: i32,
    #[prost(double, tag = "5")]
    pub(super) zero_threshold: f64,
    #[prost(uint64, optional, tag = "6")]
    pub(super) zero_count: Option<u64>,
    #[prost(message, repeated, tag = "11")]
    pub(super) positive_spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "12")]
    pub(super) positive_deltas: Vec<i64>,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "15")]
    pub(super) timestamp: i64,
}

/// The value that says that a series has ended: a NaN that no computation makes (`model/value` of Prometheus).
pub(super) const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

impl WriteRequest {
    /// How many samples it has: numbers, and native histograms.
    pub(super) fn samples(&self) -> u64 {
        self.timeseries.iter().map(|series| (series.samples.len() + series.histograms.len()) as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_native_histogram_is_a_sample() {
        let sample = Sample { value: 1.0, timestamp: 1 };
        let numbers = TimeSeries { labels: Vec::new(), samples: vec![sample; 2], histograms: Vec::new() };
        let native = TimeSeries { labels: Vec::new(), samples: Vec::new(), histograms: vec![Histogram::default()] };
        assert_eq!(WriteRequest { timeseries: vec![numbers, native] }.samples(), 3);
    }
}
