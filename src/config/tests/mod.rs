//! The configuration as an operator meets it: files, environments, and what is said about them.

mod example;
mod refused;

use super::*;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// A file of its own for each test, gone when dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn new(content: &str) -> Self {
        let name = format!("switchboard-config-{}.toml", uuid::Uuid::now_v7());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

fn environment(variables: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
    variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// Loads this text; errors call the file `FILE`.
fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let file = Temporary::new(text);
    let sources = Sources {
        file: Some(file.0.clone()),
        environment: environment(variables),
    };
    let path = file.0.display().to_string();
    load(&sources, &fake::KINDS).map_err(|error| error.to_string().replace(&path, "FILE"))
}

const PIGEON: &str = r#"
[[channels]]
id = "loft-1"
kind = "pigeon"
ring_secret = "s3cret-ring"
"#;

const BACKEND: &str = r#"
[[webhooks]]
id = "backend"
url = "https://chat.example.com/hooks"
key = "s3cret-key"
"#;

#[test]
fn an_empty_file_is_the_defaults() {
    let config = load_text("", &[]).unwrap();
    let defaults = Config {
        file: config.file.clone(),
        ..Config::default()
    };
    assert_eq!(format!("{config:?}"), format!("{defaults:?}"));
    assert_eq!(config.server.public_url.as_str(), "http://127.0.0.1:8080");
    assert!(config.sandbox_enabled());
}

#[test]
fn every_key_of_the_contract_is_read() {
    let config = load_text(
        r#"
        [server]
        listen = "0.0.0.0:80"
        public_url = "https://gateway.example.com/sb/"
        drain_seconds = 0
        body_limit_bytes = 65536
        [log]
        format = "json"
        filter = "warn,switchboard=debug"
        content = true
        [api]
        tokens = ["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "0123456789abcdef"]
        rate_per_second = 0.5
        default_wait_seconds = 0
        send_message_delivers = true
        [store]
        url = "sqlite:/srv/a.db"
        [queue]
        url = "memory:"
        lease_seconds = 5
        [spool]
        path = "/srv/spool"
        max_bytes = 1048576
        [media]
        url = "file:/srv/media"
        max_bytes = 1
        allow_private_hosts = ["files.internal", "10.0.0.0/8"]
        [retry]
        schedule_seconds = [0.5, 1]
        max_age_seconds = 60
        stuck_after = 1
        breaker_failures = 2
        breaker_rest_seconds = 3
        [retention]
        raw_events = 1
        delivered_events = 2
        dedup_keys = 3
        [[webhooks]]
        id = "backend"
        url = "https://chat.example.com/hooks?x=1"
        key = "whsec_c2VjcmV0"
        events = ["message-sent", "channel-paused"]
        [sandbox]
        enabled = true
        listen = "[::]:9000"
        [[channels]]
        id = "loft-1"
        kind = "pigeon"
        api_base = "http://127.0.0.1:9000/loft-1/"
        max_in_flight = 3
        max_in_flight_total = 4
        rate_per_second = 5
        rate_burst = 6
        rate_per_recipient_per_second = 0.1
        recipient_burst = 7
        on_unsure = "hold"
        unsure_wait_seconds = 8
        ring_secret = "s3cret"
        loft = "north"
        "#,
        &[],
    )
    .unwrap();
    assert_eq!(config.server.listen, "0.0.0.0:80".parse().unwrap());
    assert_eq!(
        config.server.public_url.as_str(),
        "https://gateway.example.com/sb"
    );
    assert_eq!(config.server.drain_seconds, 0);
    assert_eq!(config.server.body_limit_bytes, 65536);
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(config.log.content);
    assert!(config.api.tokens.iter().any(|t| t.matches("test")));
    assert!(
        config
            .api
            .tokens
            .iter()
            .any(|t| t.matches("0123456789abcdef"))
    );
    assert_eq!(config.store.url, StoreUrl::Sqlite("/srv/a.db".into()));
    assert_eq!(config.media.url, MediaUrl::Dir("/srv/media".into()));
    assert_eq!(config.spool.path, PathBuf::from("/srv/spool"));
    assert_eq!(config.spool.max_bytes, 1_048_576);
    assert_eq!(config.media.allow_private_hosts.len(), 2);
    let pauses = [Duration::from_millis(500), Duration::from_secs(1)];
    assert_eq!(config.retry.schedule.pauses(), pauses);
    let webhook = &config.webhooks[0];
    assert!(webhook.wants("message-sent") && !webhook.wants("message-updated"));
    assert_eq!(webhook.key.signing_bytes(), b"secret");
    let channel = config.channel("loft-1").unwrap();
    assert_eq!(channel.kind.name, "pigeon");
    let base = "http://127.0.0.1:9000/loft-1";
    assert_eq!(channel.api_base.as_deref(), Some(base));
    assert_eq!(channel.max_in_flight, Some(3));
    assert_eq!(channel.max_in_flight_total, Some(4));
    assert_eq!(channel.rate_per_second, Some(5.0));
    assert_eq!(channel.rate_burst, Some(6));
    assert_eq!(channel.rate_per_recipient_per_second, Some(0.1));
    assert_eq!(channel.recipient_burst, Some(7));
    assert_eq!(channel.on_unsure, OnUnsure::Hold);
    assert_eq!(channel.unsure_wait_seconds, 8);
    let common = channel.common(&config.server.public_url);
    let hook = "https://gateway.example.com/sb/webhooks/loft-1";
    assert_eq!(common.webhook_url, hook);
    let own = serde_json::json!({"ring_secret": "s3cret", "loft": "north"});
    assert_eq!(channel.settings, own);
}

#[test]
fn the_environment_goes_over_the_file() {
    let text =
        format!("[server]\nlisten = \"127.0.0.1:1000\"\ndrain_seconds = 1\n{PIGEON}{BACKEND}");
    let config = load_text(
        &text,
        &[
            ("SWITCHBOARD__SERVER__LISTEN", "0.0.0.0:2000"),
            ("SWITCHBOARD__LOG__CONTENT", "true"),
            (
                "SWITCHBOARD__API__TOKENS",
                "[\"0123456789abcdef\", \"env:TOKEN\"]",
            ),
            ("SWITCHBOARD__API__RATE_PER_SECOND", "7"),
            ("SWITCHBOARD__MEDIA__URL", "file:/srv/media"),
            ("SWITCHBOARD__RETRY__SCHEDULE_SECONDS", "[1, 2]"),
            (
                "SWITCHBOARD__WEBHOOKS__BACKEND__EVENTS",
                "[\"message-sent\"]",
            ),
            ("SWITCHBOARD__CHANNELS__LOFT_1__RING_SECRET", "12345"),
            (
                "SWITCHBOARD__CHANNELS__LOFT_1__OLDER_SECRETS",
                "[\"a\", \"b\"]",
            ),
            ("SWITCHBOARD__CHANNELS__LOFT_1__LOFT", "[x]"),
            ("SWITCHBOARD__CHANNELS__LOFT_1__ALTITUDE", "300"),
            ("SWITCHBOARD__CHANNELS__LOFT_1__EXPRESS", "true"),
            ("SWITCHBOARD__CHANNELS__LOFT_1__MAX_IN_FLIGHT", "9"),
            ("SWITCHBOARD_TOKEN", "not a key"),
            ("TOKEN", "fedcba9876543210"),
        ],
    )
    .unwrap();
    assert_eq!(config.server.listen.port(), 2000);
    // The public address follows the one that is listened on.
    assert_eq!(config.server.public_url.as_str(), "http://127.0.0.1:2000");
    assert_eq!(config.server.drain_seconds, 1);
    assert!(config.log.content);
    assert!(config.api.tokens[1].matches("fedcba9876543210"));
    assert_eq!(config.media.url, MediaUrl::Dir("/srv/media".into()));
    assert_eq!(config.retry.schedule.pauses().len(), 2);
    assert!(!config.webhooks[0].wants("message-updated"));
    let channel = config.channel("loft-1").unwrap();
    assert_eq!(channel.max_in_flight, Some(9));
    assert_eq!(
        channel.settings,
        serde_json::json!({
            "ring_secret": "12345", "older_secrets": ["a", "b"], "loft": "[x]",
            "altitude": 300, "express": true,
        })
    );
}

#[test]
fn files_are_read_without_their_last_line_break() {
    let token = Temporary::new("0123456789abcdef\n");
    let ring = Temporary::new("ring\n\n");
    let text = format!(
        "[api]\ntokens = [\"file:{}\"]\n{}",
        token.0.display(),
        PIGEON.replace("s3cret-ring", &format!("file:{}", ring.0.display()))
    );
    let config = load_text(&text, &[]).unwrap();
    assert!(config.api.tokens[0].matches("0123456789abcdef"));
    assert_eq!(config.channels[0].settings["ring_secret"], "ring\n");
}

#[test]
fn only_the_default_file_may_be_missing() {
    let named = Sources {
        file: Some("/nonexistent/switchboard.toml".into()),
        environment: BTreeMap::new(),
    };
    assert_eq!(
        load(&named, &fake::KINDS).unwrap_err().to_string(),
        "/nonexistent/switchboard.toml: found no such file; allowed: a readable file in TOML"
    );
}

#[test]
fn no_secret_is_shown() {
    let text = format!(
        "[server]\npublic_url = \"https://user:s3cret@gateway.example.com\"\n\
         [api]\ntokens = [\"s3cret-0123456789abcdef\"]\n{PIGEON}\
         api_base = \"https://user:s3cret@api.example.com\"\n{}",
        BACKEND.replace("/hooks", "/hooks?token=s3cret")
    );
    let config = load_text(&text, &[]).unwrap();
    let shown = format!("{config:?} {config:#?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("loft-1") && shown.contains("ring_secret"));
    let hash = config.api.tokens[0].to_config();
    assert!(!shown.contains(hash.trim_start_matches("sha256:")));
    let stores = [
        format!(
            "{:?}",
            StoreUrl::Postgres("postgres://u:s3cret@db/x".into_secret())
        ),
        format!(
            "{:?}",
            QueueUrl::Redis("redis://:s3cret@db/0".into_secret())
        ),
    ];
    assert_eq!(stores, ["postgres://db/x", "redis://db/0"]);
}

trait IntoSecret {
    fn into_secret(self) -> switchboard_channels::kit::secret::Secret;
}

impl IntoSecret for &str {
    fn into_secret(self) -> switchboard_channels::kit::secret::Secret {
        switchboard_channels::kit::secret::Secret::new(self)
    }
}

#[test]
fn without_channels_each_kind_gets_a_sandbox() {
    let text = "[sandbox]\nlisten = \"0.0.0.0:9000\"";
    let config = load_text(text, &[]).unwrap().with_sandbox_of(&fake::KINDS);
    let channels: Vec<_> = config
        .channels
        .iter()
        .map(|c| (c.id.as_str(), c.api_base.as_deref().unwrap()))
        .collect();
    assert_eq!(
        channels,
        [
            ("sandbox-pigeon", "http://127.0.0.1:9000/sandbox-pigeon"),
            (
                "sandbox-heliograph",
                "http://127.0.0.1:9000/sandbox-heliograph"
            ),
        ]
    );
    assert!(config.sandbox_enabled());
    for channel in &config.channels {
        assert!(channel.build(&config.server.public_url).is_ok());
    }
    let again = config.clone().with_sandbox_of(&fake::KINDS);
    assert_eq!(again.channels.len(), 2);

    let off = "[sandbox]\nenabled = false";
    let config = load_text(off, &[]).unwrap().with_sandbox_of(&fake::KINDS);
    assert!(config.channels.is_empty() && !config.sandbox_enabled());

    let config = load_text(PIGEON, &[])
        .unwrap()
        .with_sandbox_of(&fake::KINDS);
    assert_eq!(config.channels.len(), 1);
    assert!(!config.sandbox_enabled());
}

#[test]
fn a_process_alone_needs_every_role() {
    let config = load_text(PIGEON, &[]).unwrap();
    assert!(config.check_roles(&Role::ALL).is_ok());
    assert_eq!(
        config.check_roles(&[Role::Worker]).unwrap_err().to_string(),
        "the command line: --role: found no api and no piping, while queue.url is memory:, which \
         lives inside one process, so that no other process could do the rest; allowed: all roles \
         in this process: leave --role out"
    );
    assert!(config.check_channels(&["loft-1".to_owned()]).is_ok());
    assert_eq!(
        config
            .check_channels(&["loft1".to_owned()])
            .unwrap_err()
            .to_string(),
        "the command line: --channels: found \"loft1\", which is not configured; allowed: loft-1; \
         did you mean `loft-1`?"
    );
}

#[test]
fn without_channels_none_can_be_named() {
    let config = load_text("", &[]).unwrap();
    let error = config.check_channels(&["a".to_owned()]).unwrap_err();
    assert_eq!(error.allowed, "nothing: no channel is configured");
}

#[test]
fn a_client_needs_no_secret_of_the_service() {
    let text = format!(
        "[server]\nlisten = \"0.0.0.0:9090\"\n[store]\nurl = \"sqlite:/srv/sb/a.db\"\n\
         [api]\ntokens = [\"env:HASHED\", \"0123456789abcdef\"]\n{}",
        PIGEON.replace("s3cret-ring", "env:NOT_SET_HERE")
    );
    let file = Temporary::new(&text);
    let hash = TokenHash::of("x").to_config();
    let sources = Sources {
        file: Some(file.0.clone()),
        environment: environment(&[
            ("HASHED", hash.as_str()),
            ("SWITCHBOARD__CHANNELS__LOFT_1__LOFT", "north"),
        ]),
    };
    assert_eq!(
        client::service_url(&sources).unwrap().as_str(),
        "http://127.0.0.1:9090"
    );
    let token = client::plain_token(&sources).unwrap().unwrap();
    assert_eq!(token.expose(), "0123456789abcdef");
    let path = client::token_file(&sources).unwrap();
    assert_eq!(path, PathBuf::from("/srv/sb/api-token"));
    assert!(load(&sources, &fake::KINDS).is_err());
}
