//! The way out: HTTP to platforms and receivers, and a guarded fetch of links that callers gave us.

use crate::config::HostPattern;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, redirect};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use switchboard_channels::kit::http::{
    Auth, Body, Headers, Method, Request, Response, Transport, TransportError,
};
use switchboard_channels::model::Media;
use url::{Host, Url};

/// A platform that does not accept a connection within this time is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Redirects that are followed: media hosts use one or two.
const REDIRECTS: usize = 3;
/// A whole guarded fetch may take so long.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);
/// Idle connections are kept shorter than the platforms' own limits, so that a request seldom meets
/// a connection that is being closed.
const IDLE: Duration = Duration::from_secs(25);

/// Whether an address is on the public internet.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b)) // carrier-grade NAT, RFC 6598
                || (a == 192 && b == 0 && c == 0) // RFC 6890
                || (a == 198 && (b == 18 || b == 19))) // benchmarks, RFC 2544
        }
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_public(IpAddr::V4(v4));
            }
            let [first, second, ..] = v6.segments();
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || (first & 0xfe00) == 0xfc00 // unique local, RFC 4193
                || (first & 0xffc0) == 0xfe80 // link-local
                || first == 0x2002 // 6to4 carries any IPv4 address
                || (first == 0x64 && second == 0xff9b) // NAT64 does too
                || (first == 0x2001 && second == 0xdb8) // documentation
                || first == 0)
        }
    }
}

/// Hosts that the guard lets through although they are private.
#[derive(Debug, Clone, Default)]
struct Exempt(Arc<[HostPattern]>);

impl Exempt {
    fn name(&self, host: &str) -> bool {
        self.0.iter().any(|pattern| pattern.is_name(host))
    }

    fn ip(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|pattern| pattern.contains(ip))
    }
}

/// Resolves names and drops every private address, so that what is checked is what is connected to.
struct Guard(Exempt);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let exempt = self.0.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let by_name = exempt.name(&host);
            let public: Vec<SocketAddr> = found
                .filter(|a| by_name || is_public(a.ip()) || exempt.ip(a.ip()))
                .collect();
            if public.is_empty() {
                return Err(format!("{host} has no public address").into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Checks what the resolver does not see: the scheme, and addresses written as such.
fn check_url(url: &Url, exempt: &Exempt) -> Result<(), TransportError> {
    let blocked = |why: &str| Err(TransportError::Blocked(why.to_owned()));
    if !matches!(url.scheme(), "http" | "https") {
        return blocked("only http and https links are fetched");
    }
    let ip = match url.host() {
        None => return blocked("the link names no host"),
        Some(Host::Domain(_)) => return Ok(()),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
    };
    if is_public(ip) || exempt.ip(ip) || exempt.name(&ip.to_string()) {
        Ok(())
    } else {
        blocked("private addresses are not fetched")
    }
}

/// HTTP over real connections.
pub struct HttpTransport {
    platforms: Client,
    guarded: Client,
    exempt: Exempt,
}

impl HttpTransport {
    /// Builds both clients.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(exempt: Vec<HostPattern>) -> Result<Self, reqwest::Error> {
        let exempt = Exempt(exempt.into());
        let agent = concat!("switchboard/", env!("CARGO_PKG_VERSION"));
        let platforms = Client::builder()
            .user_agent(agent)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE)
            .redirect(redirect::Policy::limited(REDIRECTS))
            .build()?;
        let for_redirects = exempt.clone();
        let guarded = Client::builder()
            .user_agent(agent)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(FETCH_TIMEOUT)
            .dns_resolver(Arc::new(Guard(exempt.clone())))
            .redirect(redirect::Policy::custom(move |attempt| {
                if attempt.previous().len() > REDIRECTS {
                    attempt.error("too many redirects")
                } else if let Err(error) = check_url(attempt.url(), &for_redirects) {
                    attempt.error(error)
                } else {
                    attempt.follow()
                }
            }))
            .no_proxy()
            .build()?;
        Ok(Self {
            platforms,
            guarded,
            exempt,
        })
    }

    fn build(&self, request: &Request) -> reqwest::RequestBuilder {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
            Method::Head => reqwest::Method::HEAD,
        };
        let mut builder = self
            .platforms
            .request(method, &request.url)
            .timeout(Duration::from_millis(request.timeout_ms));
        for (name, value) in request.headers.iter() {
            builder = builder.header(name, value);
        }
        builder = match &request.auth {
            Auth::None => builder,
            Auth::Bearer(token) => builder.bearer_auth(token.expose()),
            Auth::Basic { user, password } => builder.basic_auth(user, Some(password.expose())),
            Auth::Header { name, value } => builder.header(*name, value.expose()),
        };
        builder
    }
}

/// The error without the URL, which may hold a token.
fn told(error: reqwest::Error) -> TransportError {
    let sent = !(error.is_connect() || error.is_builder());
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    if sent {
        TransportError::NoAnswer(text)
    } else {
        TransportError::NotSent(text)
    }
}

/// Reads a body up to a size.
async fn read(mut response: reqwest::Response, most: usize) -> Result<Bytes, TransportError> {
    if response
        .content_length()
        .is_some_and(|n| n > u64::try_from(most).unwrap_or(u64::MAX))
    {
        return Err(TransportError::TooLarge(most));
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(told)? {
        if body.len() + chunk.len() > most {
            return Err(TransportError::TooLarge(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn multipart(fields: Vec<switchboard_channels::kit::http::Field>) -> reqwest::multipart::Form {
    let mut form = reqwest::multipart::Form::new();
    for field in fields {
        let bytes = field.bytes;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mut part = reqwest::multipart::Part::stream_with_length(bytes, size);
        if let Some(name) = field.file_name {
            part = part.file_name(name);
        }
        part = match field.mime.as_deref().map(str::parse) {
            Some(Ok(mime)) => {
                let mut headers = reqwest::header::HeaderMap::new();
                headers.insert(reqwest::header::CONTENT_TYPE, mime);
                part.headers(headers)
            }
            _ => part,
        };
        form = form.part(field.name, part);
    }
    form
}

#[async_trait]
impl Transport for HttpTransport {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        let builder = self.build(&request);
        let builder = match request.body {
            Body::Empty => builder,
            Body::Json(text) => builder
                .header("content-type", "application/json")
                .body(text),
            Body::Form(form) => builder.form(&form),
            Body::Multipart(fields) => builder.multipart(multipart(fields)),
            Body::Raw(bytes) => builder.body(bytes),
        };
        let response = builder.send().await.map_err(told)?;
        let status = response.status().as_u16();
        let mut headers = Headers::default();
        for (name, value) in response.headers() {
            headers.push(name.as_str(), String::from_utf8_lossy(value.as_bytes()));
        }
        let body = read(response, request.max_response_bytes).await?;
        Ok(Response {
            status,
            headers,
            body,
        })
    }

    async fn fetch_public(&self, url: &str, max_bytes: usize) -> Result<Media, TransportError> {
        let parsed = Url::parse(url)
            .map_err(|e| TransportError::Blocked(format!("the link is no URL: {e}")))?;
        check_url(&parsed, &self.exempt)?;
        let response = self
            .guarded
            .get(parsed.clone())
            .send()
            .await
            .map_err(|error| {
                // The guard's refusals arrive as connection or redirection errors.
                let text = told(error).to_string();
                if text.contains("no public address") || text.contains("address refused") {
                    TransportError::Blocked("private addresses are not fetched".to_owned())
                } else {
                    TransportError::NotSent(text)
                }
            })?;
        if !response.status().is_success() {
            return Err(TransportError::NotSent(format!(
                "the link answers {}",
                response.status()
            )));
        }
        let mime = response
            .headers()
            .get(reqwest::header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned);
        let name = parsed
            .path_segments()
            .and_then(|mut s| s.next_back())
            .filter(|s| !s.is_empty())
            .map(str::to_owned);
        let bytes = read(response, max_bytes).await?;
        Ok(Media { bytes, mime, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_told_from_public_ones() {
        let private = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "198.18.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "::127.0.0.1",
            "192.0.0.8",
            "240.0.0.1",
        ];
        for ip in private {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "8.8.8.8",
            "1.1.1.1",
            "2606:4700::1111",
            "100.128.0.1",
            "172.32.0.1",
        ] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[tokio::test]
    async fn the_guard_refuses_before_it_connects() {
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let transport = HttpTransport::new(Vec::new()).unwrap();
        for url in [
            "http://127.0.0.1:1/x",
            "http://[::1]/x",
            "http://localhost:1/x",
            "ftp://example.net/x",
            "http://0x7f000001/",
            "file:///etc/passwd",
            "http://2130706433/",
            "nonsense",
        ] {
            let error = transport.fetch_public(url, 10).await.unwrap_err();
            assert!(
                matches!(error, TransportError::Blocked(_)),
                "{url}: {error}"
            );
        }
    }
}
