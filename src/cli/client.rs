//! Talking to the running service over HTTP.

use crate::config::{BaseUrl, Sources, client};
use anyhow::{Context, anyhow, bail};
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::Value;
use std::convert::Infallible;
use std::io;
use std::time::Duration;
use switchboard_channels::kit::secret::Secret;

/// A service on this machine or in this network takes a connection at once or not at all.
const CONNECT: Duration = Duration::from_secs(5);

/// The most bytes of an answer: a list of some ten thousand dead letters.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// How the running service is found.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Service {
    /// Where the service is [default: server.listen of the configuration]
    #[arg(long, global = true, value_name = "URL")]
    url: Option<BaseUrl>,
    /// The API token [default: the configuration's, or that in `api-token` beside the store]
    #[arg(long, global = true, value_name = "TOKEN", value_parser = secret)]
    #[arg(env = "SWITCHBOARD_TOKEN", hide_env_values = true)]
    token: Option<Secret>,
}

fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text.trim()))
}

/// A connection to the running service.
pub(super) struct Client {
    http: reqwest::Client,
    base: BaseUrl,
    token: Option<Secret>,
}

/// What every answer of the service is wrapped in.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Answer {
    /// Whether it was done.
    pub success: bool,
    /// The result, or the error's code.
    #[serde(default)]
    pub response: Value,
    /// What was wrong.
    #[serde(default)]
    pub message: Value,
    /// Id of the message that a send made.
    #[serde(default)]
    pub message_id: Value,
    /// Status of that message.
    #[serde(default)]
    pub status: Value,
    /// The platform's own words.
    #[serde(default)]
    pub platform: Value,
}

impl Answer {
    /// The error in words.
    pub(super) fn problem(&self) -> String {
        let parts = [&self.response, &self.message];
        let words = parts.into_iter().filter(|v| !v.is_null()).map(text);
        words.collect::<Vec<_>>().join(": ")
    }
}

/// A value as a person reads it: `-` for nothing.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Service {
    /// Finds the service; a request may take so long.
    ///
    /// # Errors
    /// When the configuration is needed to find it and cannot be used.
    pub(super) fn client(self, sources: &Sources, timeout: Duration) -> anyhow::Result<Client> {
        let base = match self.url {
            Some(url) => url,
            None => client::service_url(sources)?,
        };
        let token = match self.token.filter(|token| !token.is_empty()) {
            Some(token) => Some(token),
            None => find_token(sources)?,
        };
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(timeout)
            // The service never redirects: whatever does is something else, and must not be told
            // the token.
            .redirect(reqwest::redirect::Policy::none());
        if is_local(&base) {
            builder = builder.no_proxy();
        }
        Ok(Client {
            http: builder.build()?,
            base,
            token,
        })
    }
}

fn find_token(sources: &Sources) -> anyhow::Result<Option<Secret>> {
    if let Some(token) = client::plain_token(sources)? {
        return Ok(Some(token));
    }
    let path = client::token_file(sources)?;
    match std::fs::read_to_string(&path) {
        Ok(token) => Ok(Some(Secret::new(token.trim())).filter(|t| !t.is_empty())),
        // Without a token the service itself says what it thinks of that, if it runs at all.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(error).with_context(|| format!("cannot read the API token in {}", path.display()))
        }
    }
}

/// Whether the address is on this machine, where no proxy leads.
fn is_local(base: &BaseUrl) -> bool {
    let url = reqwest::Url::parse(base.as_str()).ok();
    let host = url
        .as_ref()
        .and_then(|url| url.host_str())
        .unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    host == "localhost" || address.is_ok_and(|a: std::net::IpAddr| a.is_loopback())
}

impl Client {
    /// A GET of this path.
    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    /// A POST of JSON to this path.
    pub(super) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base)).json(body)
    }

    /// Makes a request without a token: status and body.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) async fn look(&self, request: RequestBuilder) -> anyhow::Result<(u16, String)> {
        let mut response = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = response.status().as_u16();
        let body = self.body(&mut response).await?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Reads a body, up to a size.
    async fn body(&self, response: &mut reqwest::Response) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES {
                bail!(
                    "the answer of {:?} is larger than {ANSWER_BYTES} bytes",
                    self.base
                );
            }
        }
        Ok(body)
    }

    /// Makes a request.
    ///
    /// # Errors
    /// When there is no answer, the token is refused, or what answers is not the service. Every
    /// other refusal is an [`Answer`].
    pub(super) async fn call(&self, request: RequestBuilder) -> anyhow::Result<Answer> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        };
        let mut response = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        let body = self.body(&mut response).await?;
        let answer = serde_json::from_slice::<Answer>(&body).ok();
        match answer {
            Some(answer) if status.as_u16() == 401 => Err(self.unauthorised(&answer)),
            Some(answer) => Ok(answer),
            None => bail!(
                "what answers at {:?} is not the gateway (HTTP {}): check --url",
                self.base,
                status.as_u16()
            ),
        }
    }

    /// Makes a request and takes the result out of its answer.
    ///
    /// # Errors
    /// As [`Client::call`], and when the service refuses.
    pub(super) async fn result(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let answer = self.call(request).await?;
        if !answer.success {
            bail!("the service refuses: {}", answer.problem());
        }
        Ok(answer.response)
    }

    fn unauthorised(&self, answer: &Answer) -> anyhow::Error {
        let found = match self.token {
            Some(_) => "refuses the API token",
            None => "wants an API token, and none was found",
        };
        anyhow!(
            "the service at {:?} {found} ({}): give --token or set SWITCHBOARD_TOKEN",
            self.base,
            answer.problem()
        )
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        let base = &self.base;
        if error.is_timeout() {
            return anyhow!("the service at {base:?} does not answer in time");
        }
        if error.is_builder() {
            return anyhow!("the API token holds characters that cannot be sent");
        }
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        if error.is_connect() {
            return anyhow!("cannot reach the service at {base:?} ({cause}): is it running?");
        }
        anyhow!("the connection to {base:?} broke ({cause})")
    }
}
