//! What the configuration says of histograms whose buckets grow by a factor.

use super::engine::Fault;
use super::export::HistogramAggregation;
use super::root::Config;
use super::section::section;
use crate::metric::Resolution;

section! {
    /// `otel_metrics_export.exponential_histogram`: how fine exponential histograms are.
    ExponentialHistogram {
        /// Buckets of one histogram at most, from 2 to 160.
        max_size: u16 = 160,
        /// The scale to begin with, from -10 to 20; it goes down as far as the buckets have room.
        max_scale: i16 = 20,
    }
    without effect {}
}

section! {
    /// `prometheus_export.native_histogram`: native histograms beside those with buckets.
    NativeHistogram {
        /// By how much each bucket is wider than the one before at most; none are shown if it is not above 1.
        bucket_factor: f64 = 1.1,
        /// Buckets of one histogram at most, from 8 to 160; 0 is as many. Neighbours are joined where more would be needed.
        max_bucket_number: u16 = 100,
    }
    without effect {
        "a histogram that has too many buckets gets wider ones, and never begins anew" => [min_reset_duration],
    }
}

impl NativeHistogram {
    /// The coarsest schema whose factor is not above the one asked for (as Prometheus' client for Go chooses it).
    fn resolution(&self) -> Option<Resolution> {
        if self.bucket_factor <= 1.0 {
            return None;
        }
        let max_size = match self.max_bucket_number {
            0 => Resolution::FINEST.max_size,
            number => number.clamp(8, Resolution::FINEST.max_size),
        };
        let mut max_scale = 0;
        let mut factor = self.bucket_factor;
        while factor < 2.0 && max_scale < 8 {
            factor *= factor;
            max_scale += 1;
        }
        while factor >= 4.0 && max_scale > -4 {
            factor = factor.sqrt();
            max_scale -= 1;
        }
        Some(Resolution { max_scale, max_size })
    }
}

impl Config {
    /// How fine the exponential histograms are that go out by OTLP; `None` if they go out with buckets.
    ///
    /// # Errors
    ///
    /// The key that is at fault, and what is wrong with it. A configuration that was loaded has no such fault.
    pub fn exponential_histograms(&self) -> Result<Option<Resolution>, Fault> {
        let otel = &self.otel_metrics_export;
        let ExponentialHistogram { max_size, max_scale, .. } = otel.exponential_histogram;
        let fault =
            |key: &str, message: &str| (format!("otel_metrics_export.exponential_histogram.{key}"), message.into());
        if !(2..=Resolution::FINEST.max_size).contains(&max_size) {
            return Err(fault("max_size", "a histogram has from 2 to 160 buckets"));
        }
        let max_scale = i8::try_from(max_scale).ok().filter(|scale| (-10..=20).contains(scale));
        let max_scale = max_scale.ok_or_else(|| fault("max_scale", "a scale is a whole number from -10 to 20"))?;
        let wanted = otel.histogram_aggregation == HistogramAggregation::Exponential;
        Ok(wanted.then_some(Resolution { max_scale, max_size }))
    }

    /// How fine the native histograms are that Prometheus gets; `None` if it gets none.
    pub fn native_histograms(&self) -> Option<Resolution> {
        self.prometheus_export.native_histogram.as_ref().and_then(NativeHistogram::resolution)
    }

    /// What serves both.
    pub(super) fn histogram_resolution(&self) -> Result<Option<Resolution>, Fault> {
        let all = [self.exponential_histograms()?, self.native_histograms()];
        Ok(all.into_iter().flatten().reduce(|a, b| Resolution {
            max_scale: a.max_scale.max(b.max_scale),
            max_size: a.max_size.max(b.max_size),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_the_coarsest_that_is_fine_enough() {
        for (bucket_factor, schema) in [
            (1.1, Some(3)),
            (2.0, Some(0)),
            (1.9, Some(1)),
            (1.0, None),
            (1.000_001, Some(8)),
            (4.0, Some(-1)),
            (15.9, Some(-1)),
            (16.0, Some(-2)),
            (1e30, Some(-4)),
        ] {
            let native = NativeHistogram { bucket_factor, ..NativeHistogram::default() };
            assert_eq!(native.resolution().map(|resolution| resolution.max_scale), schema, "{bucket_factor}");
        }
    }

    #[test]
    fn they_are_counted_for_whoever_asks_for_them() {
        let resolution = |yaml: &str| Config::from_yaml(yaml, "c.yml").unwrap().0.metrics().unwrap().exponential;
        assert_eq!(resolution("otel_metrics_export: {exponential_histogram: {max_size: 80}}"), None);
        assert_eq!(resolution("prometheus_export: {native_histogram: {bucket_factor: 1}}"), None);
        let native = "prometheus_export: {native_histogram: {}}\n";
        assert_eq!(resolution(native), Some(Resolution { max_scale: 3, max_size: 100 }));
        const EXPONENTIAL: &str = "otel_metrics_export: {histogram_aggregation: base2_exponential_bucket_histogram";
        assert_eq!(resolution(&format!("{EXPONENTIAL}}}")), Some(Resolution::FINEST));
        let both = format!("{native}{EXPONENTIAL}, exponential_histogram: {{max_size: 80, max_scale: 2}}}}");
        assert_eq!(resolution(&both), Some(Resolution { max_scale: 3, max_size: 100 }));
        let error = Config::from_yaml("otel_metrics_export: {exponential_histogram: {max_scale: 21}}", "c.yml");
        assert_eq!(
            error.unwrap_err().to_string(),
            "c.yml:1:47: otel_metrics_export.exponential_histogram.max_scale: a scale is a whole number from -10 to 20"
        );
    }
}
