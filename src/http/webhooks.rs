//! Platforms' webhooks over HTTP.

use super::{Http, body, refuse};
use crate::inbound::{self, NotTaken};
use crate::webapi::error::{ApiError, Code};
use actix_web::body::BoxBody;
use actix_web::http::{Method as HttpMethod, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use std::time::Duration;
use switchboard_channels::kit::http::{Headers, Inbound, Method, Reply, Via};

/// Platforms come back after seconds anyway; this says that it is worth it.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// `GET` and `POST /webhooks/{channel}`
pub async fn receive(
    http: web::Data<Http>,
    request: HttpRequest,
    channel: web::Path<String>,
    mut payload: web::Payload,
) -> HttpResponse<BoxBody> {
    if http.gateway.channel(&channel).is_none() {
        return answer_error(NotTaken::NoChannel, &channel);
    }
    let body = match body(&http, &mut payload).await {
        Ok(body) => body,
        Err(error) => return refuse(error),
    };
    let mut headers = Headers::default();
    for (name, value) in request.headers() {
        headers.push(name.as_str(), String::from_utf8_lossy(value.as_bytes()));
    }
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
    let inbound = Inbound {
        via: Via::Web,
        method: if request.method() == HttpMethod::GET {
            Method::Get
        } else {
            Method::Post
        },
        // Built from what we are configured to be called, never from what a stranger calls us.
        url: format!("{}{path}", http.gateway.limits.public_url),
        query: request.query_string().to_owned(),
        headers,
        body,
        received_at: crate::store::now(),
    };
    match inbound::receive(&http.gateway, &channel, inbound).await {
        Ok(reply) => answer(reply),
        Err(error) => answer_error(error, &channel),
    }
}

fn answer(reply: Reply) -> HttpResponse<BoxBody> {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let mut response = HttpResponse::build(status);
    if let Some(content_type) = reply.content_type {
        response.content_type(content_type);
    }
    response.body(reply.body)
}

fn answer_error(error: NotTaken, channel: &str) -> HttpResponse<BoxBody> {
    let plain = |status, text: String| {
        HttpResponse::build(status)
            .content_type("text/plain; charset=utf-8")
            .body(text)
    };
    match error {
        NotTaken::NoChannel => {
            let text = format!("there is no channel {channel}");
            refuse(ApiError::new(Code::ChannelNotFound, text))
        }
        NotTaken::Handshake => plain(
            StatusCode::FORBIDDEN,
            "the handshake does not match this channel".to_owned(),
        ),
        NotTaken::Rejected(rejected) => plain(StatusCode::UNAUTHORIZED, rejected.to_string()),
        NotTaken::Malformed(malformed) => plain(StatusCode::BAD_REQUEST, malformed.to_string()),
        NotTaken::Unavailable(_) | NotTaken::NotSpooled(_) => refuse(ApiError::unavailable(
            "the store does not answer; nothing was taken",
            RETRY_AFTER,
        )),
    }
}
