//! What a world is to be like, and the configuration that says so.

use crate::servers::RedisServer;
use crate::world::World;
use crate::{backend, ports};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The API token.
pub const TOKEN: &str = "testkit-api-token-0123456789";

/// The id of the chat backend's webhook; its lane is `events:backend`.
pub const HOOK_ID: &str = "backend";

/// A world before it begins.
#[derive(Clone)]
pub struct Setup {
    pub(crate) binary: PathBuf,
    /// Settings by dotted key.
    settings: Vec<(String, Value)>,
    channels: Vec<Value>,
    /// Whether the emulators run in a process of their own, and outlive the gateway.
    pub(crate) apart: bool,
    /// KiB beyond which the gateway's first run can grow no file.
    pub(crate) file_limit_kib: Option<u32>,
    /// The roles of the gateway that a world begins with; none means all.
    pub(crate) roles: Vec<String>,
    /// A further environment of the gateway.
    pub(crate) environment: Vec<(String, String)>,
    /// Whether there is no configuration at all.
    pub(crate) bare: bool,
    hook_events: Vec<String>,
    pub(crate) secrets: Vec<String>,
}

impl Setup {
    /// A world with this binary (`env!("CARGO_BIN_EXE_switchboard")`), short retries and no channel.
    pub fn new(binary: &str) -> Self {
        Self {
            binary: PathBuf::from(binary),
            settings: Vec::new(),
            channels: Vec::new(),
            apart: false,
            file_limit_kib: None,
            roles: Vec::new(),
            environment: Vec::new(),
            bare: false,
            hook_events: Vec::new(),
            secrets: vec![TOKEN.to_owned(), backend::KEY.to_owned()],
        }
    }

    /// With a sandbox channel of this kind.
    #[must_use]
    pub fn channel(self, id: &str, kind: &str) -> Self {
        self.channel_with(id, kind, json!({}))
    }

    /// With a sandbox channel of this kind and these keys. Its limits of speed are wide unless the
    /// keys say otherwise.
    ///
    /// # Panics
    /// When there is no such kind.
    #[must_use]
    pub fn channel_with(mut self, id: &str, kind: &str, keys: Value) -> Self {
        let known = switchboard_channels::kind(kind).expect("a kind that is built in");
        let mut channel = Map::new();
        extend(&mut channel, (known.sandbox_settings)());
        extend(
            &mut channel,
            json!({
                "id": id, "kind": kind, "rate_per_second": 1000, "rate_burst": 1000,
                "rate_per_recipient_per_second": 1000, "recipient_burst": 1000,
                "unsure_wait_seconds": 1,
            }),
        );
        extend(&mut channel, keys);
        for (name, value) in &channel {
            if is_secret(name) {
                self.secrets.extend(texts(value));
            }
        }
        self.channels.push(Value::Object(channel));
        self
    }

    /// With a channel of this kind and these keys alone, for platforms that are no sandbox.
    #[must_use]
    pub fn bare_channel(mut self, id: &str, kind: &str, keys: Value) -> Self {
        let mut channel = Map::new();
        extend(
            &mut channel,
            json!({"id": id, "kind": kind, "rate_per_second": 1000, "rate_burst": 1000,
                "unsure_wait_seconds": 1}),
        );
        extend(&mut channel, keys);
        self.channels.push(Value::Object(channel));
        self
    }

    /// With a text that must stand in no log.
    #[must_use]
    pub fn secret(mut self, text: &str) -> Self {
        self.secrets.push(text.to_owned());
        self
    }

    /// With this setting, by dotted key (`retry.stuck_after`).
    #[must_use]
    pub fn set(mut self, key: &str, value: Value) -> Self {
        self.settings.push((key.to_owned(), value));
        self
    }

    /// With the schedule in this Redis, in a database of its own.
    #[must_use]
    pub fn redis(self, server: &RedisServer) -> Self {
        self.redis_at(&server.own_database())
    }

    /// With the schedule in the Redis at this URL.
    #[must_use]
    pub fn redis_at(self, url: &str) -> Self {
        self.set("queue.url", json!(url))
    }

    /// With the emulators in a process of their own: they outlive the gateway.
    #[must_use]
    pub fn emulators_apart(mut self) -> Self {
        self.apart = true;
        self
    }

    /// The gateway's first run can grow no file beyond this: writing more fails, as on a full disk.
    /// [`World::restart`] takes the limit off.
    #[must_use]
    pub fn file_limit_kib(mut self, most: u32) -> Self {
        self.file_limit_kib = Some(most);
        self
    }

    /// The chat backend asks for these events alone.
    #[must_use]
    pub fn hook_events(mut self, events: &[&str]) -> Self {
        self.hook_events = events.iter().map(|&e| e.to_owned()).collect();
        self
    }

    /// The gateway that the world begins with has these roles alone; [`World::join`] adds processes
    /// with others.
    #[must_use]
    pub fn roles(mut self, roles: &[&str]) -> Self {
        self.roles = roles.iter().map(|&r| r.to_owned()).collect();
        self
    }

    /// The gateway has this in its environment, too.
    #[must_use]
    pub fn environment(mut self, variables: Vec<(String, String)>) -> Self {
        self.environment = variables;
        self
    }

    /// Without any configuration, as a newcomer starts it: only where to listen is said, by the
    /// environment.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// Starts everything, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(self) -> World {
        World::start(self).await
    }

    /// The configuration file of this world.
    pub(crate) fn toml(&self, folder: &Path, at: Addresses, hook_url: &str) -> String {
        let data = folder.join("data");
        let data = data.display();
        let mut config = json!({
            "server": {
                "listen": format!("127.0.0.1:{}", at.gateway),
                "public_url": format!("http://127.0.0.1:{}", at.gateway),
                "drain_seconds": 10,
            },
            // Debug lines too: they must hold no secret either.
            "log": {"filter": "info,switchboard=debug,switchboard_channels=debug"},
            "api": {"tokens": [TOKEN], "rate_per_second": 5000},
            "store": {"url": format!("sqlite:{data}/switchboard.db")},
            "queue": {"url": "memory:", "lease_seconds": 5},
            "spool": {"path": format!("{data}/spool")},
            "media": {"url": format!("file:{data}/media"), "allow_private_hosts": ["127.0.0.1"]},
            "retry": {
                "schedule_seconds": [0.2, 0.5, 1], "breaker_failures": 5, "breaker_rest_seconds": 1,
            },
            "webhooks": [{"id": HOOK_ID, "url": hook_url, "key": backend::KEY,
                "events": self.hook_events}],
            "sandbox": {"enabled": !self.apart, "listen": format!("127.0.0.1:{}", at.sandbox)},
            "channels": self.channels,
        });
        for channel in config["channels"].as_array_mut().into_iter().flatten() {
            if channel.get("api_base").is_none() {
                let id = channel["id"].as_str().unwrap_or_default().to_owned();
                channel["api_base"] = json!(format!("http://127.0.0.1:{}/{id}", at.sandbox));
            }
        }
        for (key, value) in &self.settings {
            let place = key
                .split('.')
                .fold(&mut config, |table, name| &mut table[name]);
            *place = value.clone();
        }
        toml::to_string(&config).expect("a configuration is TOML")
    }
}

/// The environment that says where a [`Setup::bare`] world listens.
pub(crate) fn environment(at: Addresses) -> [(&'static str, String); 2] {
    [
        (
            "SWITCHBOARD__SERVER__LISTEN",
            format!("127.0.0.1:{}", at.gateway),
        ),
        (
            "SWITCHBOARD__SANDBOX__LISTEN",
            format!("127.0.0.1:{}", at.sandbox),
        ),
    ]
}

/// Where the processes of a world listen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) gateway: u16,
    pub(crate) sandbox: u16,
}

impl Addresses {
    pub(crate) fn free() -> Self {
        Self {
            gateway: ports::free(),
            sandbox: ports::free(),
        }
    }
}

fn extend(into: &mut Map<String, Value>, from: Value) {
    if let Value::Object(from) = from {
        into.extend(from);
    }
}

/// Whether a key of a channel holds a secret, by its name: the contract's bold ones end like this.
fn is_secret(name: &str) -> bool {
    [
        "token",
        "secret",
        "key",
        "key_previous",
        "service_account_json",
        "password",
    ]
    .iter()
    .any(|end| name.ends_with(end))
        || name == "webhook_shared_keys"
}

/// Every text in a value.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().flat_map(texts).collect(),
        Value::Object(object) => object.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}
