//! Between actix's requests and answers and our own.

use actix_multipart::Multipart;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpResponse, web};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use switchboard_channels::kit::http::{Auth, Body, Field, Headers, Method, Request, Response};
use switchboard_channels::kit::secret::Secret;

/// Why a body was not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// Larger than allowed.
    TooLarge,
    /// The connection broke, or the framing is wrong.
    Broken,
}

/// Most bodies come in one piece: up to here, room is made at once for those that do not.
const FIRST_ROOM_BYTES: usize = 1024 * 1024;

/// Reads a body whole. One that comes in one piece is not copied.
pub(super) async fn read_body(
    headers: &HeaderMap,
    mut payload: web::Payload,
    limit: usize,
) -> Result<Bytes, Unread> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|bytes| bytes > limit) {
        return Err(Unread::TooLarge);
    }
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let Ok(chunk) = chunk else {
            return Err(Unread::Broken);
        };
        if first.len() + whole.len() + chunk.len() > limit {
            return Err(Unread::TooLarge);
        }
        if !whole.is_empty() {
            whole.extend_from_slice(&chunk);
        } else if first.is_empty() {
            first = chunk;
        } else {
            whole.reserve(declared.unwrap_or(0).min(FIRST_ROOM_BYTES));
            whole.extend_from_slice(&first);
            whole.extend_from_slice(&chunk);
            first = Bytes::new();
        }
    }
    Ok(if whole.is_empty() {
        first
    } else {
        whole.freeze()
    })
}

/// The method, if it is one that platforms use.
pub(super) fn method(method: &actix_web::http::Method) -> Option<Method> {
    match method.as_str() {
        "GET" => Some(Method::Get),
        "POST" => Some(Method::Post),
        "PUT" => Some(Method::Put),
        "PATCH" => Some(Method::Patch),
        "DELETE" => Some(Method::Delete),
        "HEAD" => Some(Method::Head),
        _ => None,
    }
}

/// A request as emulators get it. The authorization stands in `auth`, where a transport would have
/// taken it from, and in the headers as it came.
pub(super) async fn request(method: Method, url: String, head: &HeaderMap, body: Bytes) -> Request {
    let mut headers = Headers::default();
    for (name, value) in head {
        if is_framing(name.as_str()) {
            continue;
        }
        headers.push(name.as_str(), String::from_utf8_lossy(value.as_bytes()));
    }
    let auth = headers.get("authorization").map_or(Auth::None, auth);
    let body = decode(head, body).await;
    let mut request = Request::get(url).with_auth(auth);
    request.method = method;
    request.headers = headers;
    request.body = body;
    request
}

/// Headers that say how a body is framed on this connection, and nothing to the other side.
fn is_framing(name: &str) -> bool {
    name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding")
}

/// Reads an `Authorization` header; schemes other than Bearer and Basic stay in the headers only.
fn auth(value: &str) -> Auth {
    let Some((scheme, rest)) = value.split_once(' ') else {
        return Auth::None;
    };
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Auth::Bearer(Secret::new(rest));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = switchboard_channels::kit::sign::from_base64(rest)
            .and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some((user, password)) = pair.as_deref().and_then(|p| p.split_once(':')) {
            return Auth::Basic {
                user: user.to_owned(),
                password: Secret::new(password),
            };
        }
    }
    Auth::None
}

/// What a `Content-Type` says about the decoding.
enum Shape {
    Json,
    Form,
    Multipart,
    Other,
}

fn shape(head: &HeaderMap) -> Shape {
    let value = head.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let essence =
        value.map(|v| String::from_utf8_lossy(v.split(|b| *b == b';').next().unwrap_or(v)));
    match essence.as_deref().map(|e| e.trim().to_ascii_lowercase()) {
        Some(e) if e == "application/json" || e == "text/json" || e.ends_with("+json") => {
            Shape::Json
        }
        Some(e) if e == "application/x-www-form-urlencoded" => Shape::Form,
        Some(e) if e == "multipart/form-data" => Shape::Multipart,
        _ => Shape::Other,
    }
}

/// Whether a request says that its body is JSON.
pub(super) fn is_json(head: &HeaderMap) -> bool {
    matches!(shape(head), Shape::Json)
}

/// Decodes a body by its type. What is not of the type that it claims stays raw: what to say about
/// that is the emulator's business.
async fn decode(head: &HeaderMap, body: Bytes) -> Body {
    match shape(head) {
        // Some clients call everything a form that they give no type, files too (Python's urllib).
        Shape::Form if body.iter().all(u8::is_ascii_graphic) => Body::Form(
            form_urlencoded::parse(&body)
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        ),
        _ if body.is_empty() => Body::Empty,
        Shape::Json => match std::str::from_utf8(&body) {
            // A copy: the bytes are a piece of the connection's buffer, which this would pin.
            Ok(text) => Body::Json(text.to_owned()),
            Err(_) => Body::Raw(body),
        },
        Shape::Multipart => match fields(head, body.clone()).await {
            Ok(fields) => Body::Multipart(fields),
            Err(_) => Body::Raw(body),
        },
        Shape::Form | Shape::Other => Body::Raw(body),
    }
}

async fn fields(
    head: &HeaderMap,
    body: Bytes,
) -> Result<Vec<Field>, actix_multipart::MultipartError> {
    let whole = futures_util::stream::once(std::future::ready(Ok(body)));
    let mut multipart = Multipart::new(head, whole);
    let mut fields = Vec::new();
    while let Some(mut field) = multipart.try_next().await? {
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.content_disposition().and_then(|d| {
            d.get_filename_ext()
                .map(|ext| String::from_utf8_lossy(&ext.value).into_owned())
                .or_else(|| d.get_filename().map(str::to_owned))
        });
        let mime = field.content_type().map(ToString::to_string);
        let mut content = BytesMut::new();
        while let Some(chunk) = field.try_next().await? {
            content.extend_from_slice(&chunk);
        }
        fields.push(Field {
            name,
            file_name,
            mime,
            bytes: content.freeze(),
        });
    }
    Ok(fields)
}

/// An emulator's answer for the wire.
pub(super) fn answer(response: Response) -> HttpResponse {
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut answer = HttpResponse::build(status);
    let mut json = false;
    for (name, value) in response.headers.iter() {
        if is_framing(name) {
            continue;
        }
        json |= name == "content-type" && value.starts_with("application/json");
        let pair = (
            HeaderName::try_from(name),
            HeaderValue::try_from(value.as_bytes()),
        );
        if let (Ok(name), Ok(value)) = pair {
            answer.append_header((name, value));
        }
    }
    if !json {
        // What customers "send" is served from here: opened in a browser it must not run with the
        // rights of the sandbox's page.
        answer.append_header(("content-security-policy", "sandbox"));
        answer.append_header(("x-content-type-options", "nosniff"));
    }
    answer.body(response.body)
}

/// Closes the connection without a byte of an answer.
///
/// The server writes an answer once its body has given the first piece; a body that ends before the
/// length it announced makes it give the connection up instead. (A body that fails would do the same,
/// with a line in the log as if something were wrong.) Not for HEAD, whose answers
/// have no body to wait for.
pub(super) fn cut() -> HttpResponse {
    HttpResponse::Ok().body(Cut)
}

struct Cut;

impl MessageBody for Cut {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(1)
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(None)
    }
}
