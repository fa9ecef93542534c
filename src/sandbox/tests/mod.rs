//! A toy platform, a toy gateway, and what their tests share.

mod api;
mod bodies;
mod faults;
mod hooks;

use super::{Account, HookTarget, Listener, Options, SandboxHandle};
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;
use switchboard_channels::kit::emulator::{Action, CannotAct, Emulator, Exchange, Hook, PhoneLine};
use switchboard_channels::kit::http::{Auth, Body, Request, Response};
use switchboard_channels::model::Millis;

/// A platform that tells what it got. `/send` is followed by a webhook with the body's text,
/// `/slow-send` by one after 700 ms, `/file` is a page.
pub(super) struct Toy {
    hook_url: String,
    lines: Vec<PhoneLine>,
}

impl Toy {
    fn hook(&self, body: Value) -> Hook {
        let request = Request::post_json(&self.hook_url, body.to_string())
            .with_header("X-Toy-Signature", "signed");
        Hook::now(request)
    }
}

impl Emulator for Toy {
    fn handle(&mut self, request: &Request, _: Millis) -> Exchange {
        if request.url.contains("/panic") {
            panic!("as asked");
        }
        if request.url.ends_with("/file") {
            let response = Response {
                status: 200,
                headers: Default::default(),
                body: Bytes::from_static(b"<script>alert(1)</script>"),
            };
            return response.with_header("content-type", "text/html").into();
        }
        let auth = match &request.auth {
            Auth::None => json!(null),
            Auth::Bearer(token) => json!(["bearer", token.expose()]),
            Auth::Basic { user, password } => json!(["basic", user, password.expose()]),
            Auth::Header { name, value } => json!(["header", name, value.expose()]),
        };
        let seen = json!({
            "method": format!("{:?}", request.method),
            "url": request.url,
            "headers": request.headers.iter().collect::<Vec<_>>(),
            "auth": auth,
            "body": format!("{:?}", request.body),
        });
        let response = Response::json(200, seen.to_string())
            .with_header("X-Toy", "yes")
            .with_header("content-length", "7");
        let mut hooks = Vec::new();
        if let (true, Body::Json(text)) = (request.url.contains("send"), &request.body) {
            let value: Value = serde_json::from_str(text).unwrap();
            let mut hook = self.hook(json!({"status": value["n"]}));
            if request.url.contains("slow-send") {
                hook.after_ms = 700;
            }
            hooks.push(hook);
        }
        Exchange { response, hooks }
    }

    fn act(&mut self, action: &Action, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        match action {
            Action::Say { text, .. } => {
                self.lines.push(PhoneLine {
                    customer: "+15550100".to_owned(),
                    name: "Toy".to_owned(),
                    id: self.lines.len().to_string(),
                    from_gateway: false,
                    text: text.clone(),
                    extras: Vec::new(),
                    buttons: Vec::new(),
                    reactions: Vec::new(),
                    at: now,
                });
                // One webhook per word.
                Ok(text
                    .split_whitespace()
                    .map(|w| self.hook(json!({"say": w})))
                    .collect())
            }
            Action::Press { button, .. } => Err(CannotAct(format!("no button {button:?}"))),
            _ => Ok(Vec::new()),
        }
    }

    fn phone(&self) -> Vec<PhoneLine> {
        self.lines.clone()
    }

    fn reset(&mut self) {
        self.lines.clear();
    }
}

/// A gateway that writes down what is posted to it.
#[derive(Clone, Default)]
pub(super) struct Gateway {
    received: Arc<Mutex<Vec<(String, String)>>>,
    /// Statuses of the next answers; 200 when there is none.
    script: Arc<Mutex<VecDeque<u16>>>,
}

impl Gateway {
    fn answers(&self, statuses: &[u16]) {
        self.script.lock().unwrap().extend(statuses);
    }

    /// Path and body of what was posted.
    fn received(&self) -> Vec<(String, String)> {
        self.received.lock().unwrap().clone()
    }

    fn bodies(&self) -> Vec<Value> {
        let parsed = |(_, body): (_, String)| serde_json::from_str(&body).unwrap();
        self.received().into_iter().map(parsed).collect()
    }

    /// Waits until so many were posted.
    async fn has(&self, n: usize) {
        let enough = async {
            while self.received().len() < n {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), enough)
            .await
            .unwrap_or_else(|_| panic!("{} of {n} webhooks came", self.received().len()));
    }

    fn serve_at(&self, addr: SocketAddr) -> (SocketAddr, ServerHandle) {
        async fn take(
            gateway: web::Data<Gateway>,
            http: HttpRequest,
            body: String,
        ) -> HttpResponse {
            assert_eq!(http.headers().get("x-toy-signature").unwrap(), "signed");
            let mut received = gateway.received.lock().unwrap();
            received.push((http.uri().to_string(), body));
            let status = gateway.script.lock().unwrap().pop_front().unwrap_or(200);
            let status = actix_web::http::StatusCode::from_u16(status).unwrap();
            HttpResponse::build(status).body("taken")
        }
        let data = web::Data::new(self.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .default_service(web::to(take))
        })
        .workers(1)
        .disable_signals()
        .bind(addr)
        .unwrap();
        let addr = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        (addr, handle)
    }
}

/// A sandbox with the accounts `toy` and `other`, and the gateway that its webhooks go to.
pub(super) struct Lab {
    base: String,
    addr: SocketAddr,
    client: reqwest::Client,
    gateway: Gateway,
    sandbox: SandboxHandle,
    gateway_server: ServerHandle,
    running: tokio::task::JoinHandle<Result<(), super::SandboxError>>,
}

pub(super) fn tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok(); // another test of this process may have been first
    });
}

pub(super) fn toy(id: &str, gateway: SocketAddr) -> Account {
    Account {
        id: id.to_owned(),
        kind: "toy",
        emulator: Box::new(Toy {
            hook_url: format!("http://{gateway}/webhooks/{id}?x=1"),
            lines: Vec::new(),
        }),
    }
}

impl Lab {
    pub(super) async fn new() -> Self {
        Self::with(Options {
            first_retry: Duration::from_millis(20),
            ..Options::default()
        })
        .await
    }

    pub(super) async fn with(options: Options) -> Self {
        tls();
        let gateway = Gateway::default();
        let (gateway_addr, gateway_server) = gateway.serve_at("127.0.0.1:0".parse().unwrap());
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let base = listener.base_url();
        let accounts = vec![toy("toy", gateway_addr), toy("other", gateway_addr)];
        let sandbox = listener
            .serve(accounts, HookTarget::AsWritten, options)
            .unwrap();
        let addr = sandbox.addr();
        let handle = sandbox.handle();
        let running = tokio::spawn(sandbox.run());
        Self {
            base,
            addr,
            client: reqwest::Client::new(),
            gateway,
            sandbox: handle,
            gateway_server,
            running,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Status and JSON of a GET.
    async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.client.get(self.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Status and JSON of a POST.
    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let request = self.client.post(self.url(path)).json(&body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// What the account's log holds.
    async fn log(&self) -> Vec<Value> {
        let (status, log) = self.get("/sandbox/toy/requests").await;
        assert_eq!(status, 200);
        log.as_array().unwrap().clone()
    }
}
