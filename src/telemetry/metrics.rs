//! The recorder behind `/metrics`.

use super::names::{METRICS, SEND_SECONDS, STORE_SECONDS, Shape};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// Bounds of what a platform takes, in seconds: most answer within a second, and a request is given
/// up after 30 s, or 90 s when the platform fetches a file meanwhile.
const SEND_BUCKETS: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 90.0];

/// Bounds of what the store takes, in seconds: a commit is a few milliseconds, a full disk minutes.
const STORE_BUCKETS: [f64; 10] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0,
];

/// Renders what was recorded.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

/// Why metrics cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The buckets are refused.
    #[error("the buckets of a histogram cannot be used")]
    Buckets(#[source] BuildError),
    /// A process has one recorder.
    #[error("metrics are recorded elsewhere in this process already")]
    Installed(#[source] metrics::SetRecorderError<PrometheusRecorder>),
}

impl Metrics {
    /// Makes the recorder of this process.
    ///
    /// # Errors
    /// When the process has one already.
    pub fn install() -> Result<Self, MetricsError> {
        let recorder = recorder().map_err(MetricsError::Buckets)?;
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(MetricsError::Installed)?;
        describe();
        Ok(Self(handle))
    }

    /// What `/metrics` answers.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Moves samples into their buckets. Histograms keep every sample until then, so that this must
    /// be called every few seconds, whether or not anybody asks for `/metrics`.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let named = |name: &str| Matcher::Full(name.to_owned());
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(named(SEND_SECONDS), &SEND_BUCKETS)?
        .set_buckets_for_metric(named(STORE_SECONDS), &STORE_BUCKETS)?
        .build_recorder())
}

/// Tells the recorder of this thread or process what each metric says.
fn describe() {
    for metric in METRICS {
        match metric.shape {
            Shape::Counter => metrics::describe_counter!(metric.name, metric.help),
            Shape::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Shape::Histogram => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::names;

    #[test]
    fn what_is_recorded_is_rendered() {
        let recorder = recorder().unwrap();
        let metrics = Metrics(recorder.handle());
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::counter!(names::SENDS_TOTAL, "channel" => "a", "kind" => "k", "outcome" => "sent")
                .increment(1);
            metrics::gauge!(names::LANE_DEPTH, "lane" => "events:b").set(3.0);
            metrics::histogram!(names::SEND_SECONDS, "channel" => "a").record(0.3);
            metrics::histogram!(names::STORE_SECONDS, "operation" => "o").record(0.002);
        });
        metrics.upkeep();
        let text = metrics.render();
        for line in [
            "# TYPE switchboard_sends_total counter",
            "# HELP switchboard_lane_depth What waits in a lane.",
            "switchboard_sends_total{channel=\"a\",kind=\"k\",outcome=\"sent\"} 1",
            "switchboard_lane_depth{lane=\"events:b\"} 3",
            "switchboard_send_seconds_bucket{channel=\"a\",le=\"0.25\"} 0",
            "switchboard_send_seconds_bucket{channel=\"a\",le=\"0.5\"} 1",
            "switchboard_send_seconds_count{channel=\"a\"} 1",
            "switchboard_store_seconds_bucket{operation=\"o\",le=\"0.0025\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
