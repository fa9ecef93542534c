//! The Web API over HTTP, and its description.

use super::{Http, body, header, refuse, respond};
use crate::webapi::dispatch::Call;
use crate::webapi::{docs, openapi as document};
use actix_web::body::BoxBody;
use actix_web::{HttpRequest, HttpResponse, web};

/// `POST /api` and its aliases.
pub async fn call(
    http: web::Data<Http>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> HttpResponse<BoxBody> {
    let body = match body(&http, &mut payload).await {
        Ok(body) => body,
        Err(error) => return refuse(error),
    };
    let headers = request.headers();
    let call = Call {
        content_type: header(headers, "content-type"),
        authorization: header(headers, "authorization"),
        idempotency_key: header(headers, "idempotency-key"),
        body: &body,
    };
    respond(&http.api.call(call).await)
}

/// `GET /openapi.json`
pub async fn openapi(http: web::Data<Http>) -> HttpResponse<BoxBody> {
    HttpResponse::Ok().json(document::document(&http.gateway.limits.public_url))
}

/// `GET /docs`
pub async fn docs(http: web::Data<Http>) -> HttpResponse<BoxBody> {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((
            "content-security-policy",
            "default-src 'none'; style-src 'unsafe-inline'",
        ))
        .body(docs::page(&http.gateway.limits.public_url))
}
