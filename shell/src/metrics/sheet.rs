//! Metrics made anew for one scrape.

use prometheus::{
    Error, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
    proto::MetricFamily,
};

/// Numbers copied from elsewhere for one scrape.
#[derive(Default)]
pub struct Sheet(Registry);

impl Sheet {
    /// One number; what does not fit 63 bits is shown as the most that does.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn gauge(&self, name: &str, help: &str, value: impl TryInto<i64>) -> Result<(), Error> {
        let gauge = IntGauge::new(name, help)?;
        gauge.set(whole(value));
        self.add(gauge)
    }

    /// A number for each combination of label values.
    ///
    /// # Errors
    /// If the name is taken or a label is no label's name.
    pub fn gauges<const N: usize, V: TryInto<i64>>(
        &self,
        (name, help): (&str, &str),
        labels: [&str; N],
        rows: impl IntoIterator<Item = ([String; N], V)>,
    ) -> Result<(), Error> {
        let gauges = IntGaugeVec::new(Opts::new(name, help), &labels)?;
        for (values, number) in rows {
            gauges.get_metric_with_label_values(&values)?.set(whole(number));
        }
        self.add(gauges)
    }

    /// As [`Sheet::gauges`], with fractions.
    ///
    /// # Errors
    /// As [`Sheet::gauges`].
    pub fn fractions<const N: usize>(
        &self,
        (name, help): (&str, &str),
        labels: [&str; N],
        rows: impl IntoIterator<Item = ([String; N], f64)>,
    ) -> Result<(), Error> {
        let gauges = GaugeVec::new(Opts::new(name, help), &labels)?;
        for (values, number) in rows {
            gauges.get_metric_with_label_values(&values)?.set(number);
        }
        self.add(gauges)
    }

    /// A count that only grows, for each combination of label values.
    ///
    /// # Errors
    /// As [`Sheet::gauges`].
    pub fn counters<const N: usize>(
        &self,
        (name, help): (&str, &str),
        labels: [&str; N],
        rows: impl IntoIterator<Item = ([String; N], u64)>,
    ) -> Result<(), Error> {
        let counters = IntCounterVec::new(Opts::new(name, help), &labels)?;
        for (values, number) in rows {
            counters.get_metric_with_label_values(&values)?.inc_by(number);
        }
        self.add(counters)
    }

    fn add(&self, metric: impl Collector + 'static) -> Result<(), Error> {
        self.0.register(Box::new(metric))
    }

    pub(super) fn families(&self) -> Vec<MetricFamily> {
        self.0.gather()
    }
}

fn whole(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}
