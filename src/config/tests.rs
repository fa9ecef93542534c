//! The configuration as an operator meets it: files, environments, and what is said about them.

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

/// Line of the table below: the text, the environment, the message.
type Bad<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

fn refuses(table: &[Bad<'_>]) {
    for (text, variables, message) in table {
        let error = load_text(text, variables).map(|_| "no error".to_owned());
        assert_eq!(error.unwrap_err(), *message, "{text}\n{variables:?}");
    }
}

#[test]
fn bad_values_are_refused_by_name() {
    refuses(&[
        (
            "[serer]\nlisten = \"x\"",
            &[],
            "FILE: serer: found an unknown section; allowed: server, log, api, store, queue, media, retry, retention, webhooks, sandbox, channels; did you mean `server`?",
        ),
        (
            "[server]\nlisten_on = 1",
            &[],
            "FILE: server.listen_on: found an unknown key; allowed: listen, public_url, drain_seconds, body_limit_bytes",
        ),
        (
            "[server]\ndrain_second = 1",
            &[],
            "FILE: server.drain_second: found an unknown key; allowed: listen, public_url, drain_seconds, body_limit_bytes; did you mean `drain_seconds`?",
        ),
        (
            "server = 5",
            &[],
            "FILE: server: found 5; allowed: a table that begins with [server]",
        ),
        (
            "[server]\nlisten = \"localhost:8080\"",
            &[],
            "FILE: server.listen: found \"localhost:8080\"; allowed: an address with a port from 1 to 65535, such as 127.0.0.1:8080 or [::1]:8080",
        ),
        (
            "[server]\nlisten = \"127.0.0.1:99999\"",
            &[],
            "FILE: server.listen: found \"127.0.0.1:99999\"; allowed: an address with a port from 1 to 65535, such as 127.0.0.1:8080 or [::1]:8080",
        ),
        (
            "[server]\nlisten = \"127.0.0.1:0\"",
            &[],
            "FILE: server.listen: found \"127.0.0.1:0\"; allowed: an address with a port from 1 to 65535, such as 127.0.0.1:8080 or [::1]:8080",
        ),
        (
            "[server]\nlisten = 8080",
            &[],
            "FILE: server.listen: found a number; allowed: an address with a port from 1 to 65535, such as 127.0.0.1:8080 or [::1]:8080",
        ),
        (
            "[server]\npublic_url = \"ftp://user:s3cret@host\"",
            &[],
            "FILE: server.public_url: found another URL, of the scheme ftp:; allowed: an http or https URL without query and fragment, such as https://gateway.example.com",
        ),
        (
            "[server]\npublic_url = \"gateway.example.com\"",
            &[],
            "FILE: server.public_url: found a string that is no URL (relative URL without a base); allowed: an http or https URL without query and fragment, such as https://gateway.example.com",
        ),
        (
            "[server]\ndrain_seconds = 3601",
            &[],
            "FILE: server.drain_seconds: found 3601; allowed: a whole number from 0 to 3600",
        ),
        (
            "[server]\ndrain_seconds = -1",
            &[],
            "FILE: server.drain_seconds: found -1; allowed: a whole number from 0 to 3600",
        ),
        (
            "[server]\nbody_limit_bytes = 1024",
            &[],
            "FILE: server.body_limit_bytes: found 1024; allowed: a whole number from 65536 to 67108864",
        ),
        (
            "[log]\nformat = \"xml\"",
            &[],
            "FILE: log.format: found \"xml\"; allowed: \"text\" or \"json\"",
        ),
        (
            "[log]\nfilter = \"inof\"",
            &[],
            "FILE: log.filter: found \"inof\"; allowed: a level (error, warn, info, debug, trace, off) or directives such as info,switchboard=debug",
        ),
        (
            "[log]\ncontent = \"yes\"",
            &[],
            "FILE: log.content: found a string; allowed: true or false",
        ),
        (
            "[api]\ntokens = [\"s3cret\"]",
            &[],
            "FILE: api.tokens[0]: found plain text that is too short or has blanks in it; allowed: sha256: and 64 hexadecimal digits (`switchboard token` makes one), or plain text of at least 16 characters without blanks",
        ),
        (
            "[api]\ntokens = [\"0123456789abcdef\", \"sha256:abc\"]",
            &[],
            "FILE: api.tokens[1]: found sha256: and something else; allowed: sha256: and 64 hexadecimal digits (`switchboard token` makes one), or plain text of at least 16 characters without blanks",
        ),
        (
            "[api]\ntokens = \"0123456789abcdef\"",
            &[],
            "FILE: api.tokens: found a string; allowed: a list, such as [\"a\", \"b\"]",
        ),
        (
            "[api]\nrate_per_second = 0",
            &[],
            "FILE: api.rate_per_second: found 0; allowed: a number from 0.001 to 1000000",
        ),
        (
            "[api]\nrate_per_second = inf",
            &[],
            "FILE: api.rate_per_second: found inf; allowed: a finite number",
        ),
        (
            "[store]\nurl = \"mysql://root:s3cret@db/x\"",
            &[],
            "FILE: store.url: found another URL, of the scheme mysql:; allowed: sqlite:PATH, such as sqlite:data/switchboard.db, or postgres://user:password@host/database",
        ),
        (
            "[store]\nurl = \"postgres://root:s3cret@db/x\"",
            &[],
            "FILE: store.url: found a PostgreSQL database, which is not built into this release; allowed: sqlite:PATH",
        ),
        (
            "[queue]\nurl = \"rediss://:s3cret@cache:6379/0\"",
            &[],
            "FILE: queue.url: found a Redis server, which is not built into this release; allowed: memory:",
        ),
        (
            "[queue]\nurl = \"memory\"",
            &[],
            "FILE: queue.url: found a string that is no URL (relative URL without a base); allowed: memory: or redis://host:6379/0 (rediss:// for TLS)",
        ),
        (
            "[queue]\nlease_seconds = 4",
            &[],
            "FILE: queue.lease_seconds: found 4; allowed: a whole number from 5 to 86400",
        ),
        (
            "[media]\nurl = \"s3://bucket/prefix\"",
            &[],
            "FILE: media.url: found an object store, which is not built into this release; allowed: file:PATH",
        ),
        (
            "[media]\nallow_private_hosts = [\"http://files.internal\"]",
            &[],
            "FILE: media.allow_private_hosts[0]: found \"http://files.internal\"; allowed: a host name, an address or a network such as 10.0.0.0/8, without scheme and port",
        ),
        (
            "[retry]\nschedule_seconds = []",
            &[],
            "FILE: retry.schedule_seconds: found an empty list; allowed: at least one number of seconds",
        ),
        (
            "[retry]\nschedule_seconds = [2, 0]",
            &[],
            "FILE: retry.schedule_seconds[1]: found 0; allowed: a number from 0.001 to 604800",
        ),
        (
            "[retry]\nstuck_after = 1.5",
            &[],
            "FILE: retry.stuck_after: found 1.5; allowed: a whole number from 1 to 1000",
        ),
        (
            "[retention]\nraw_events = 0",
            &[],
            "FILE: retention.raw_events: found 0; allowed: a whole number from 1 to 36500",
        ),
        (
            "[sandbox]\nlisten = \"127.0.0.1:8080\"",
            &[],
            "FILE: sandbox.listen: found 127.0.0.1:8080, where the service itself listens; allowed: another port than that of server.listen, or sandbox.enabled = false",
        ),
        (
            "[server]\nlisten = \"127.0.0.1:8080\"\ns3cret = hunter2",
            &[],
            "FILE: line 3, column 10: found something that is no TOML (string values must be quoted, expected literal string); allowed: TOML, with text in quotes",
        ),
        (
            "[server]\n[server]",
            &[],
            "FILE: line 2, column 2: found something that is no TOML (duplicate key); allowed: TOML, with text in quotes",
        ),
        (
            "[server]\nlisten = 99999999999999999999",
            &[],
            "FILE: line 2, column 10: found something that is no TOML (a number that is too large, or text without quotes); allowed: TOML, with text in quotes",
        ),
    ]);
}

#[test]
fn bad_webhooks_are_refused_by_id() {
    let events = "names of events: message-sent, new-messages, sms-sent, email-sent, slack-message-sent, new-conversation-created, conversation-status-updated, message-status-updated, message-updated, message-deleted, message-reaction, user-updated, channel-paused, channel-resumed";
    refuses(&[
        (
            "[[webhooks]]\nid = \"Backend\"\nurl = \"https://x.example.com\"\nkey = \"k\"",
            &[],
            "FILE: webhooks[0].id: found \"Backend\"; allowed: 1 to 63 characters of a-z, 0-9 and -, the first of them no -",
        ),
        (
            "[[webhooks]]\nid = \"backend\"\nurl = \"https://x.example.com\"",
            &[],
            "FILE: webhooks.backend.key: found nothing; allowed: a value",
        ),
        (
            "[[webhooks]]\nid = \"backend\"\nurl = \"https://x.example.com\"\nkey = \"whsec_s3cret!\"",
            &[],
            "FILE: webhooks.backend.key: found whsec_ and something that is no base64; allowed: text that is not empty, or whsec_ and base64 with padding",
        ),
        (
            &format!("{BACKEND}\nevents = [\"message-sent\", \"mesage-sent\"]"),
            &[],
            &format!("FILE: webhooks.backend.events[1]: found \"mesage-sent\"; allowed: {events}"),
        ),
        (
            &format!("{BACKEND}\nsecret = \"s3cret\""),
            &[],
            "FILE: webhooks.backend.secret: found an unknown key; allowed: id, url, key, events",
        ),
        (
            &format!("{BACKEND}{BACKEND}"),
            &[],
            "FILE: webhooks.backend.id: found the same id twice; allowed: an id of its own for each",
        ),
        (
            "[webhooks]\nbackend = 1",
            &[],
            "FILE: webhooks: found a table; allowed: tables that begin with [[webhooks]]",
        ),
        (
            "webhooks = [\"https://x.example.com\"]",
            &[],
            "FILE: webhooks[0]: found a string; allowed: tables that begin with [[webhooks]]",
        ),
    ]);
}

#[test]
fn bad_channels_are_refused_by_id() {
    let own = "ring_secret, older_secrets, loft, altitude, express";
    let common = "id, kind, api_base, rate_per_second, rate_burst, rate_per_recipient_per_second, recipient_burst, max_in_flight, max_in_flight_total, on_unsure, unsure_wait_seconds";
    refuses(&[
        (
            "[[channels]]\nkind = \"pigeon\"",
            &[],
            "FILE: channels[0].id: found nothing; allowed: a value",
        ),
        (
            "[[channels]]\nid = \"-a\"\nkind = \"pigeon\"",
            &[],
            "FILE: channels[0].id: found \"-a\"; allowed: 1 to 63 characters of a-z, 0-9 and -, the first of them no -",
        ),
        (
            "[[channels]]\nid = \"loft-1\"",
            &[],
            "FILE: channels.loft-1.kind: found nothing; allowed: a value",
        ),
        (
            "[[channels]]\nid = \"loft-1\"\nkind = \"pidgeon\"",
            &[],
            "FILE: channels.loft-1.kind: found \"pidgeon\"; allowed: pigeon, heliograph; did you mean `pigeon`?",
        ),
        (
            "[[channels]]\nid = \"loft-1\"\nkind = \"pigeon\"",
            &[],
            "FILE: channels.loft-1.ring_secret: found nothing; allowed: a value",
        ),
        (
            "[[channels]]\nid = \"loft-1\"\nkind = \"pigeon\"\nring_secret = 53",
            &[],
            "FILE: channels.loft-1.ring_secret: found a whole number; allowed: a string",
        ),
        (
            &format!("{PIGEON}\nloft = \"north tower\""),
            &[],
            "FILE: channels.loft-1.loft: found \"north tower\"; allowed: one word",
        ),
        (
            &format!("{PIGEON}\nring_secrets = \"s3cret\""),
            &[],
            &format!(
                "FILE: channels.loft-1.ring_secrets: found an unknown key; allowed: {own}, {common}; did you mean `ring_secret`?"
            ),
        ),
        (
            &format!("{PIGEON}\nrate_per_secnd = 1"),
            &[],
            &format!(
                "FILE: channels.loft-1.rate_per_secnd: found an unknown key; allowed: {own}, {common}; did you mean `rate_per_second`?"
            ),
        ),
        (
            &format!("{PIGEON}\nrate_per_second = 0"),
            &[],
            "FILE: channels.loft-1.rate_per_second: found 0; allowed: a number from 0.001 to 1000000",
        ),
        (
            &format!("{PIGEON}\non_unsure = \"resend\""),
            &[],
            "FILE: channels.loft-1.on_unsure: found \"resend\"; allowed: \"retry\" or \"hold\"",
        ),
        (
            &format!("{PIGEON}\napi_base = \"https://api.example.com/?key=s3cret\""),
            &[],
            "FILE: channels.loft-1.api_base: found another URL, of the scheme https:; allowed: an http or https URL without query and fragment, such as https://gateway.example.com",
        ),
        (
            &format!("{PIGEON}{PIGEON}"),
            &[],
            "FILE: channels.loft-1.id: found the same id twice; allowed: an id of its own for each",
        ),
    ]);
}

#[test]
fn bad_environments_are_refused_by_variable() {
    refuses(&[
        (
            "",
            &[("SWITCHBOARD__SERVR__LISTEN", "0.0.0.0:80")],
            "environment variable SWITCHBOARD__SERVR__LISTEN: servr: found an unknown section; allowed: server, log, api, store, queue, media, retry, retention, webhooks, sandbox, channels; did you mean `server`?",
        ),
        (
            "",
            &[("SWITCHBOARD__SERVER__LISTN", "0.0.0.0:80")],
            "environment variable SWITCHBOARD__SERVER__LISTN: server.listn: found an unknown key; allowed: listen, public_url, drain_seconds, body_limit_bytes; did you mean `listen`?",
        ),
        (
            "",
            &[("SWITCHBOARD__SERVER", "x")],
            "environment variable SWITCHBOARD__SERVER: server: found a name of another form; allowed: SWITCHBOARD__SECTION__KEY",
        ),
        (
            "",
            &[("SWITCHBOARD__SERVER__LISTEN__PORT", "80")],
            "environment variable SWITCHBOARD__SERVER__LISTEN__PORT: server: found a name of another form; allowed: SWITCHBOARD__SECTION__KEY",
        ),
        (
            "[server]\ndrain_seconds = 1",
            &[("SWITCHBOARD__SERVER__DRAIN_SECONDS", "5000")],
            "environment variable SWITCHBOARD__SERVER__DRAIN_SECONDS: server.drain_seconds: found 5000; allowed: a whole number from 0 to 3600",
        ),
        (
            "",
            &[("SWITCHBOARD__SERVER__DRAIN_SECONDS", "long")],
            "environment variable SWITCHBOARD__SERVER__DRAIN_SECONDS: server.drain_seconds: found a string; allowed: a whole number from 0 to 3600",
        ),
        (
            "",
            &[("SWITCHBOARD__API__TOKENS", "[\"s3cret\"]")],
            "environment variable SWITCHBOARD__API__TOKENS: api.tokens[0]: found plain text that is too short or has blanks in it; allowed: sha256: and 64 hexadecimal digits (`switchboard token` makes one), or plain text of at least 16 characters without blanks",
        ),
        (
            "",
            &[("SWITCHBOARD__CHANNELS__LOFT_1__LOFT", "x")],
            "environment variable SWITCHBOARD__CHANNELS__LOFT_1__LOFT: channels: found an id that the file does not have; allowed: nothing: the file has no [[channels]]",
        ),
        (
            PIGEON,
            &[("SWITCHBOARD__CHANNELS__LOFT_2__LOFT", "x")],
            "environment variable SWITCHBOARD__CHANNELS__LOFT_2__LOFT: channels: found an id that the file does not have; allowed: SWITCHBOARD__CHANNELS__LOFT_1__KEY",
        ),
        (
            PIGEON,
            &[("SWITCHBOARD__CHANNELS__LOFT_1__LOFT", "north tower")],
            "environment variable SWITCHBOARD__CHANNELS__LOFT_1__LOFT: channels.loft-1.loft: found \"north tower\"; allowed: one word",
        ),
        (
            "[api]\ntokens = [\"env:API_TOKEN\"]",
            &[],
            "FILE: api.tokens[0]: found env:API_TOKEN, which is not set; allowed: env: and the name of a variable that is set, to text",
        ),
        (
            "[server]\nlisten = \"env:MIXED_UP\"",
            &[("MIXED_UP", "s3cret")],
            "FILE: server.listen: found what env:MIXED_UP holds, which is something else; allowed: an address with a port from 1 to 65535, such as 127.0.0.1:8080 or [::1]:8080",
        ),
        (
            "[api]\ntokens = [\"file:/nonexistent/token\"]",
            &[],
            "FILE: api.tokens[0]: found file:/nonexistent/token, which cannot be read (No such file or directory (os error 2)); allowed: file: and the path of a readable text file",
        ),
        (
            &PIGEON.replace("s3cret-ring", "env:RING"),
            &[("RING", "")],
            "FILE: channels.loft-1.ring_secret: found an empty value (env:RING); allowed: a value",
        ),
    ]);
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

/// The example in the repository.
fn example() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/switchboard.toml");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_example_shows_the_defaults() {
    let text = example();
    let config = load_text(&text, &[]).unwrap();
    let defaults = Config {
        file: config.file.clone(),
        ..Config::default()
    };
    assert_eq!(format!("{config:#?}"), format!("{defaults:#?}"));

    // And all of them: every key that a section knows stands in the example.
    let table: toml::Table = toml::from_str(&text).unwrap();
    let sections = load::SECTIONS
        .iter()
        .filter(|s| !["webhooks", "channels"].contains(s));
    for section in sections {
        let error = load_text(&format!("[{section}]\nzz = 1"), &[]).unwrap_err();
        let (_, known) = error.split_once("allowed: ").unwrap();
        for key in known.split(", ") {
            let commented = format!("# {key} = ");
            let shown = table[*section].get(key).is_some();
            // What has no single default is shown behind a comment sign.
            let shown = shown || (key == "enabled" && text.contains(&commented));
            assert!(shown, "{section}.{key} is missing in the example");
        }
    }
}

#[test]
fn the_examples_of_channels_can_be_switched_on() {
    // Lines that are commented out begin with "#" directly; sentences with "# ".
    let text: String = example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(code) if !code.starts_with(' ') => format!("{code}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let table: toml::Table = toml::from_str(&text).unwrap();
    let kinds: Vec<&str> = table["channels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["telegram", "whatsapp", "twilio-sms"]);
    assert_eq!(table["webhooks"].as_array().unwrap().len(), 1);

    // As far as the kinds are built in, they must take what the example tells people to write.
    let secrets = [
        ("HOOK_KEY", "whsec_c2VjcmV0"),
        (
            "TELEGRAM_BOT_TOKEN",
            "7000000001:AAH-example-of-35-characters-abcdef",
        ),
        ("TELEGRAM_WEBHOOK_SECRET", "example-secret"),
        ("WHATSAPP_ACCESS_TOKEN", "EAAexample"),
        ("WHATSAPP_APP_SECRET", "0123456789abcdef0123456789abcdef"),
        ("WHATSAPP_VERIFY_TOKEN", "example-verify"),
        ("TWILIO_AUTH_TOKEN", "0123456789abcdef0123456789abcdef"),
    ];
    let file = Temporary::new(&text);
    let sources = Sources {
        file: Some(file.0.clone()),
        environment: environment(&secrets),
    };
    if kinds
        .iter()
        .all(|kind| switchboard_channels::kind(kind).is_some())
    {
        assert_eq!(
            load(&sources, switchboard_channels::KINDS)
                .unwrap()
                .channels
                .len(),
            3
        );
    } else {
        let error = load(&sources, switchboard_channels::KINDS).unwrap_err();
        assert!(error.key.ends_with(".kind"), "{error}");
    }
}
