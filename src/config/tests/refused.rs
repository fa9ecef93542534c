//! What is refused, with the whole message.

use super::{BACKEND, PIGEON, load_text};

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
            "FILE: serer: found an unknown section; allowed: server, log, api, store, queue, spool, media, mail, retry, retention, webhooks, sandbox, channels; did you mean `server`?",
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
            "[store]\nconnections = 1",
            &[],
            "FILE: store.connections: found 1; allowed: a whole number from 2 to 200",
        ),
        (
            "[queue]\nurl = \"redis:s3cret\"",
            &[],
            "FILE: queue.url: found another URL, of the scheme redis:; allowed: memory: or redis://host:6379/0 (rediss:// for TLS)",
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
    let events = "names of events: message-sent, new-messages, sms-sent, email-sent, slack-message-sent, new-conversation-created, conversation-status-updated, message-status-updated, message-updated, message-deleted, message-reaction, user-updated, user-deleted, channel-paused, channel-resumed";
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
            "environment variable SWITCHBOARD__SERVR__LISTEN: servr: found an unknown section; allowed: server, log, api, store, queue, spool, media, mail, retry, retention, webhooks, sandbox, channels; did you mean `server`?",
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
