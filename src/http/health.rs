//! Whether the service lives and works, and its numbers.

use super::Http;
use crate::inbound::spool;
use crate::queue::LaneId;
use crate::store::at_once;
use crate::store::upkeep;
use crate::telemetry::names;
use actix_web::body::BoxBody;
use actix_web::{HttpResponse, web};
use serde_json::json;

/// `GET /healthz`: the process lives.
pub async fn alive() -> HttpResponse<BoxBody> {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// `GET /readyz`: store and queue answer.
pub async fn ready(http: web::Data<Http>) -> HttpResponse<BoxBody> {
    let store = http.gateway.store.ping().await;
    let queue = http.gateway.queue.ping().await;
    let word = |ok: bool| if ok { "ok" } else { "does not answer" };
    let mut body = serde_json::Map::new();
    body.insert("store".to_owned(), word(store.is_ok()).into());
    body.insert("queue".to_owned(), word(queue.is_ok()).into());
    if let Some(spool) = http.gateway.spool.get() {
        body.insert("spool".to_owned(), spool_words(&spool.stats()).into());
    }
    if store.is_ok() && queue.is_ok() {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}

/// What the spool holds, for a person. It has no say in the status: with its store, a process is
/// ready.
fn spool_words(stats: &spool::Stats) -> String {
    match (&stats.refused, stats.records) {
        (Some(why), _) => format!("takes nothing: {why}"),
        (None, 0) => "empty".to_owned(),
        (None, 1) => "1 webhook waits".to_owned(),
        (None, many) => format!("{many} webhooks wait"),
    }
}

/// `GET /metrics`: the gauges of lanes are read when they are asked for.
pub async fn metrics(http: web::Data<Http>) -> HttpResponse<BoxBody> {
    refresh(&http).await;
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(http.metrics.render())
}

/// The lanes of this service.
pub fn lanes(http: &Http) -> Vec<LaneId> {
    http.gateway.lanes().cloned().collect()
}

fn refresh_spool(http: &Http) {
    let Some(spool) = http.gateway.spool.get() else {
        return;
    };
    let stats = spool.stats();
    let age = stats
        .oldest
        .map_or(0, |at| crate::store::now().0.saturating_sub(at).max(0));
    #[expect(
        clippy::cast_precision_loss,
        reason = "none of them comes near to 2^52"
    )]
    for (name, value) in [
        (names::SPOOL_RECORDS, stats.records as f64),
        (names::SPOOL_BYTES, stats.bytes as f64),
        (names::SPOOL_OLDEST_SECONDS, age as f64 / 1000.0),
        (names::SPOOL_ASIDE, stats.aside as f64),
    ] {
        metrics::gauge!(name).set(value);
    }
}

async fn refresh(http: &Http) {
    refresh_spool(http);
    for lane in lanes(http) {
        let Ok(stats) = http.gateway.queue.stats(&lane).await else {
            continue;
        };
        let name = lane.to_string();
        #[expect(clippy::cast_precision_loss, reason = "a depth beyond 2^52 is not")]
        metrics::gauge!(names::LANE_DEPTH, "lane" => name.clone())
            .set((stats.depth + stats.leased) as f64);
        metrics::gauge!(names::LANE_OLDEST_SECONDS, "lane" => name.clone())
            .set(stats.oldest_ready.map_or(0.0, |age| age.as_secs_f64()));
        metrics::gauge!(names::LANE_PAUSED, "lane" => name.clone()).set(if stats.paused {
            1.0
        } else {
            0.0
        });
        metrics::gauge!(names::DEAD_LETTERS, "lane" => name).set(0.0);
    }
    match http
        .gateway
        .store
        .read(|tx| at_once(upkeep::dead_counts(tx)))
        .await
    {
        Ok(counts) => {
            for (lane, count) in counts {
                #[expect(clippy::cast_precision_loss, reason = "a count beyond 2^52 is not")]
                metrics::gauge!(names::DEAD_LETTERS, "lane" => lane).set(count as f64);
            }
        }
        Err(error) => tracing::warn!(%error, "dead letters cannot be counted"),
    }
}
