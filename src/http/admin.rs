//! What the command line and the console do: lanes, dead letters, messages.

use super::{Http, body, header, refuse, respond};
use crate::queue::LaneId;
use crate::store::at_once;
use crate::store::upkeep;
use crate::webapi::args::Args;
use crate::webapi::conversations;
use crate::webapi::dispatch::Answer;
use crate::webapi::error::{ApiError, Code, Success};
use crate::webapi::shapes::time;
use actix_web::body::BoxBody;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use std::collections::HashMap;
use switchboard_channels::model::{MessageId, Millis};

/// The API token, in the header alone.
fn authenticate(http: &Http, request: &HttpRequest) -> Result<(), ApiError> {
    let args = Args::decode(Some("application/json"), b"{}")?;
    let token = http
        .api
        .tokens
        .authenticate(&args, header(request.headers(), "authorization"))?;
    http.api.tokens.admit(token)
}

fn reply(result: Result<Value, ApiError>) -> HttpResponse<BoxBody> {
    respond(&Answer::from(result.map(Success::new)))
}

/// `GET /admin/lanes`
pub async fn lanes(http: web::Data<Http>, request: HttpRequest) -> HttpResponse<BoxBody> {
    reply(list_lanes(&http, &request).await)
}

async fn list_lanes(http: &Http, request: &HttpRequest) -> Result<Value, ApiError> {
    authenticate(http, request)?;
    let (paused, dead) = http
        .gateway
        .store
        .read(|tx| {
            at_once(async { Ok((upkeep::paused(tx).await?, upkeep::dead_counts(tx).await?)) })
        })
        .await?;
    let dead: HashMap<String, i64> = dead.into_iter().collect();
    let mut lanes = Vec::new();
    for lane in super::health::lanes(http) {
        let stats =
            http.gateway.queue.stats(&lane).await.map_err(|e| {
                ApiError::unavailable(e.to_string(), std::time::Duration::from_secs(1))
            })?;
        let pause = paused.iter().find(|p| p.lane == lane.as_str());
        let until = stats.resting.map(|rest| {
            let ms = i64::try_from(rest.as_millis()).unwrap_or(i64::MAX);
            time(crate::store::now().plus(ms))
        });
        lanes.push(json!({
            "lane": lane.as_str(),
            "depth": stats.depth + stats.leased,
            "in_flight": stats.leased,
            "oldest_seconds": stats.oldest_ready.map_or(0, |age| age.as_secs()),
            "paused": pause.map(|p| json!({
                "reason": p.reason, "message": p.message, "since": time(p.since),
            })),
            "resting_until": until,
            "dead": dead.get(lane.as_str()).copied().unwrap_or(0),
        }));
    }
    Ok(Value::Array(lanes))
}

fn lane(http: &Http, name: &str) -> Result<LaneId, ApiError> {
    let lanes = super::health::lanes(http);
    lanes
        .into_iter()
        .find(|lane| lane.as_str() == name)
        .ok_or_else(|| ApiError::new(Code::NotFound, format!("there is no lane {name}")))
}

/// `POST /admin/lanes/{lane}/pause`
pub async fn pause(
    http: web::Data<Http>,
    request: HttpRequest,
    name: web::Path<String>,
) -> HttpResponse<BoxBody> {
    let result = async {
        authenticate(&http, &request)?;
        let lane = lane(&http, &name)?;
        http.gateway
            .pause(&lane, "operator", "paused by an operator")
            .await;
        Ok(json!(true))
    };
    reply(result.await)
}

/// `POST /admin/lanes/{lane}/resume`
pub async fn resume(
    http: web::Data<Http>,
    request: HttpRequest,
    name: web::Path<String>,
) -> HttpResponse<BoxBody> {
    let result = async {
        authenticate(&http, &request)?;
        let lane = lane(&http, &name)?;
        Ok(json!(http.gateway.resume(&lane).await?))
    };
    reply(result.await)
}

/// `GET /admin/dead`
pub async fn dead(
    http: web::Data<Http>,
    request: HttpRequest,
    query: web::Query<HashMap<String, String>>,
) -> HttpResponse<BoxBody> {
    let result = async {
        authenticate(&http, &request)?;
        let channel = query.get("channel").cloned();
        if let Some(channel) = channel
            .as_ref()
            .filter(|c| http.gateway.channel(c).is_none())
        {
            let text = format!("there is no channel {channel}");
            return Err(ApiError::new(Code::ChannelNotFound, text));
        }
        let letters = http
            .gateway
            .store
            .read(move |tx| at_once(upkeep::dead_letters(tx, channel.as_deref())))
            .await?;
        Ok(letters
            .into_iter()
            .map(|letter| {
                json!({
                    "id": letter.id,
                    "lane": letter.lane,
                    "conversation_id": letter.conversation.to_string(),
                    "to": letter.to,
                    "reason": letter.reason,
                    "class": letter.class,
                    "attempts": letter.attempts,
                    "died_at": time(Millis(letter.died_at.0)),
                })
            })
            .collect())
    };
    reply(result.await)
}

/// The ids in a body, or `None` for all.
async fn ids(
    http: &Http,
    request: &HttpRequest,
    payload: &mut web::Payload,
) -> Result<Option<Vec<String>>, ApiError> {
    authenticate(http, request)?;
    let body = body(http, payload).await?;
    let args = Args::decode(header(request.headers(), "content-type"), &body)?;
    if args.bool("all", false)? {
        return Ok(None);
    }
    let ids = args.strings("ids")?;
    if ids.is_empty() {
        return Err(args.missing("ids"));
    }
    Ok(Some(ids))
}

/// `POST /admin/retry`
pub async fn retry(
    http: web::Data<Http>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> HttpResponse<BoxBody> {
    let result = async {
        let ids = match ids(&http, &request, &mut payload).await? {
            Some(ids) => ids,
            None => {
                let letters = http
                    .gateway
                    .store
                    .read(|tx| at_once(upkeep::dead_letters(tx, None)))
                    .await?;
                // The oldest first, so that a conversation's letters keep their order.
                letters.into_iter().rev().map(|letter| letter.id).collect()
            }
        };
        let max_age = i64::try_from(http.gateway.limits.max_age.as_millis()).unwrap_or(i64::MAX);
        let (mut retried, mut not_found) = (Vec::new(), Vec::new());
        for id in ids {
            let wanted = id.clone();
            let (done, wakes) = http
                .gateway
                .store
                .write(move |tx, unit| at_once(upkeep::retry(tx, unit, &wanted, max_age)))
                .await?;
            hasten(&http, &wakes).await;
            http.gateway.wake(wakes).await;
            if done {
                retried.push(id)
            } else {
                not_found.push(id)
            }
        }
        Ok(json!({"retried": retried, "not_found": not_found}))
    };
    reply(result.await)
}

/// After an operator's word, retry or drop, a group does not wait for what it waited for before.
async fn hasten(http: &Http, wakes: &crate::store::Wakes) {
    let sends = wakes
        .sends
        .iter()
        .map(|(channel, group, _)| (LaneId::channel(channel), *group));
    let events = wakes
        .events
        .iter()
        .map(|(hook, group)| (LaneId::events(hook), *group));
    for (lane, group) in sends.chain(events) {
        if let Err(error) = http.gateway.queue.hasten(&lane, &[group]).await {
            tracing::warn!(lane = %lane, %error, "not hastened");
        }
    }
}

/// `POST /admin/drop`
pub async fn drop_letters(
    http: web::Data<Http>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> HttpResponse<BoxBody> {
    let result = async {
        let ids = ids(&http, &request, &mut payload)
            .await?
            .ok_or_else(|| ApiError::invalid("`all`: dropping is only done by id"))?;
        let (mut dropped, mut not_found) = (Vec::new(), Vec::new());
        for id in ids {
            let wanted = id.clone();
            let (done, wakes) = http
                .gateway
                .store
                .write(move |tx, unit| at_once(upkeep::drop_letter(tx, unit, &wanted)))
                .await?;
            hasten(&http, &wakes).await;
            http.gateway.wake(wakes).await;
            if done {
                dropped.push(id)
            } else {
                not_found.push(id)
            }
        }
        Ok(json!({"dropped": dropped, "not_found": not_found}))
    };
    reply(result.await)
}

/// `GET /admin/messages/{id}`
pub async fn message(
    http: web::Data<Http>,
    request: HttpRequest,
    id: web::Path<String>,
) -> HttpResponse<BoxBody> {
    if let Err(error) = authenticate(&http, &request) {
        return refuse(error);
    }
    let result = match id.parse() {
        Ok(id) => conversations::message_detail(&http.api, MessageId(id)).await,
        Err(_not_a_number) => Err(ApiError::invalid(format!(
            "`id`: found {:?}; expected a number",
            id.as_str()
        ))),
    };
    respond(&Answer::from(result))
}
