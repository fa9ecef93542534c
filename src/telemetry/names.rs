//! Names of metrics and of log fields: the same thing has the same name everywhere.

/// Webhooks that came in: `channel`, `kind`, `result`.
pub const WEBHOOKS_TOTAL: &str = "switchboard_webhooks_total";
/// Events that webhooks carried: `channel`, `event`.
pub const INBOUND_EVENTS_TOTAL: &str = "switchboard_inbound_events_total";
/// Parts that were tried: `channel`, `kind`, `outcome` (sent, or the class of the failure).
pub const SENDS_TOTAL: &str = "switchboard_sends_total";
/// How long platforms took to answer: `channel`.
pub const SEND_SECONDS: &str = "switchboard_send_seconds";
/// What waits in a lane: `lane`.
pub const LANE_DEPTH: &str = "switchboard_lane_depth";
/// Age of what waits longest in a lane: `lane`.
pub const LANE_OLDEST_SECONDS: &str = "switchboard_lane_oldest_seconds";
/// 1 while a lane is paused, else 0: `lane`.
pub const LANE_PAUSED: &str = "switchboard_lane_paused";
/// Dead letters: `lane`.
pub const DEAD_LETTERS: &str = "switchboard_dead_letters";
/// Tries that failed and will be repeated: `lane`, `class`.
pub const RETRIES_TOTAL: &str = "switchboard_retries_total";
/// Deliveries of events to the chat backend: `webhook`, `outcome`.
pub const EVENT_DELIVERIES_TOTAL: &str = "switchboard_event_deliveries_total";
/// How long the store took: `operation`.
pub const STORE_SECONDS: &str = "switchboard_store_seconds";
/// Webhooks that wait in the spool.
pub const SPOOL_RECORDS: &str = "switchboard_spool_records";
/// Bytes of the spool on disk.
pub const SPOOL_BYTES: &str = "switchboard_spool_bytes";
/// Age of what waits longest in the spool.
pub const SPOOL_OLDEST_SECONDS: &str = "switchboard_spool_oldest_seconds";
/// Webhooks that could not be replayed.
pub const SPOOL_ASIDE: &str = "switchboard_spool_aside";

/// How a metric moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Only up.
    Counter,
    /// Up and down.
    Gauge,
    /// Counted in buckets.
    Histogram,
}

/// A metric as `/metrics` describes it.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// The names of its labels, in the order of the documentation.
    pub labels: &'static [&'static str],
    /// How it moves.
    pub shape: Shape,
    /// What it says.
    pub help: &'static str,
}

/// Every metric.
pub const METRICS: [Metric; 15] = [
    Metric {
        name: WEBHOOKS_TOTAL,
        labels: &["channel", "kind", "result"],
        shape: Shape::Counter,
        help: "Webhooks of platforms, by what became of them.",
    },
    Metric {
        name: INBOUND_EVENTS_TOTAL,
        labels: &["channel", "event"],
        shape: Shape::Counter,
        help: "Events that webhooks carried, by kind.",
    },
    Metric {
        name: SENDS_TOTAL,
        labels: &["channel", "kind", "outcome"],
        shape: Shape::Counter,
        help: "Parts that were tried, by outcome: sent, or the class of the failure.",
    },
    Metric {
        name: SEND_SECONDS,
        labels: &["channel"],
        shape: Shape::Histogram,
        help: "How long platforms took to answer a send.",
    },
    Metric {
        name: LANE_DEPTH,
        labels: &["lane"],
        shape: Shape::Gauge,
        help: "What waits in a lane.",
    },
    Metric {
        name: LANE_OLDEST_SECONDS,
        labels: &["lane"],
        shape: Shape::Gauge,
        help: "Age of what waits longest in a lane.",
    },
    Metric {
        name: LANE_PAUSED,
        labels: &["lane"],
        shape: Shape::Gauge,
        help: "1 while a lane is paused, else 0.",
    },
    Metric {
        name: DEAD_LETTERS,
        labels: &["lane"],
        shape: Shape::Gauge,
        help: "Dead letters of a lane.",
    },
    Metric {
        name: RETRIES_TOTAL,
        labels: &["lane", "class"],
        shape: Shape::Counter,
        help: "Tries that failed and will be repeated, by class.",
    },
    Metric {
        name: EVENT_DELIVERIES_TOTAL,
        labels: &["webhook", "outcome"],
        shape: Shape::Counter,
        help: "Deliveries of events to the chat backend, by outcome.",
    },
    Metric {
        name: STORE_SECONDS,
        labels: &["operation"],
        shape: Shape::Histogram,
        help: "How long the store took for an operation.",
    },
    Metric {
        name: SPOOL_RECORDS,
        labels: &[],
        shape: Shape::Gauge,
        help: "Webhooks that wait in the spool of this process.",
    },
    Metric {
        name: SPOOL_BYTES,
        labels: &[],
        shape: Shape::Gauge,
        help: "Bytes of the spool on disk.",
    },
    Metric {
        name: SPOOL_OLDEST_SECONDS,
        labels: &[],
        shape: Shape::Gauge,
        help: "Age of what waits longest in the spool.",
    },
    Metric {
        name: SPOOL_ASIDE,
        labels: &[],
        shape: Shape::Gauge,
        help: "Webhooks that could not be replayed and are kept in the spool's folder.",
    },
];

/// Names of the fields of log lines. Use them as `{ fields::CHANNEL_ID } = …` or write them out:
/// never another name for the same thing.
pub mod fields {
    /// Id of a channel.
    pub const CHANNEL_ID: &str = "channel.id";
    /// Kind of a channel.
    pub const CHANNEL_KIND: &str = "channel.kind";
    /// Name of a lane.
    pub const LANE: &str = "lane";
    /// Id of a message.
    pub const MESSAGE_ID: &str = "message.id";
    /// Id of a conversation.
    pub const CONVERSATION_ID: &str = "conversation.id";
    /// Index of a part in its message, from 0.
    pub const PART_INDEX: &str = "part.index";
    /// Number of an attempt, from 1.
    pub const ATTEMPT_NO: &str = "attempt.no";
    /// Class of an error.
    pub const ERROR_CLASS: &str = "error.class";
    /// The platform's code of an error.
    pub const ERROR_CODE: &str = "error.code";
    /// What went wrong, in words.
    pub const ERROR: &str = "error";
    /// Id of an event.
    pub const EVENT_ID: &str = "event.id";
    /// Name of an event.
    pub const EVENT_NAME: &str = "event.name";
    /// Id of a receiver of events.
    pub const WEBHOOK_ID: &str = "webhook.id";
    /// The id that a caller is given to quote.
    pub const REQUEST_ID: &str = "request.id";
    /// How long something took, in milliseconds.
    pub const DURATION_MS: &str = "duration_ms";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_are_those_of_the_documentation() {
        let listed: Vec<String> = METRICS
            .iter()
            .map(|m| match m.labels {
                [] => m.name.to_owned(),
                labels => format!("{}{{{}}}", m.name, labels.join(",")),
            })
            .collect();
        assert_eq!(
            listed,
            [
                "switchboard_webhooks_total{channel,kind,result}",
                "switchboard_inbound_events_total{channel,event}",
                "switchboard_sends_total{channel,kind,outcome}",
                "switchboard_send_seconds{channel}",
                "switchboard_lane_depth{lane}",
                "switchboard_lane_oldest_seconds{lane}",
                "switchboard_lane_paused{lane}",
                "switchboard_dead_letters{lane}",
                "switchboard_retries_total{lane,class}",
                "switchboard_event_deliveries_total{webhook,outcome}",
                "switchboard_store_seconds{operation}",
                "switchboard_spool_records",
                "switchboard_spool_bytes",
                "switchboard_spool_oldest_seconds",
                "switchboard_spool_aside",
            ]
        );
    }

    #[test]
    fn names_tell_the_shape() {
        for metric in METRICS {
            let counter = metric.name.ends_with("_total");
            assert_eq!(counter, metric.shape == Shape::Counter, "{}", metric.name);
        }
    }
}
