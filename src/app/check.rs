//! `switchboard check`: can what the configuration names be used?

use super::build::{connector, open_store};
use crate::config::{Config, QueueUrl};
use crate::outbound::mailer::SmtpMailer;
use crate::outbound::transport::HttpTransport;
use crate::queue::Queue;
use crate::queue::redis::{Options, RedisQueue};
use crate::store::StoreError;
use crate::store::postgres::Presence;
use switchboard_channels::kit::http::Ctx;

/// One thing that `check` looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it holds.
    pub ok: bool,
    /// What was looked at: `store`, `channel support-bot`…
    pub subject: String,
    /// What was found, for a person.
    pub detail: String,
}

/// Looks whether what the configuration names can be used; `offline` asks no platform.
///
/// # Errors
/// When the looking itself fails.
pub async fn check(config: Config, offline: bool) -> anyhow::Result<Vec<Finding>> {
    let config = config.with_sandbox();
    let store = match open_store(&config, Vec::new(), Presence::Visitor).await {
        Ok(store) => store.ping().await.map(|()| "opens and answers".to_owned()),
        // The running service has it: then it is open, and the service says how it is.
        Err(StoreError::Locked(_)) => Ok("is open in another process".to_owned()),
        Err(error) => Err(error),
    };
    let mut findings = vec![finding("store", store.map_err(|e| e.to_string()))];
    findings.push(finding("queue", queue(&config).await));
    let transport = HttpTransport::new(config.media.allow_private_hosts.clone())?;
    let mailer = SmtpMailer::new(connector(&config)?);
    for channel in &config.channels {
        let subject = format!("channel {}", channel.id);
        let built = channel.build(&config.server.public_url);
        let found = match built {
            Err(error) => Err(error.to_string()),
            Ok(_) if offline => Ok("is configured".to_owned()),
            Ok(adapter) => adapter
                .probe(&Ctx {
                    mailer: &mailer,
                    ..Ctx::new(&transport, crate::store::now())
                })
                .await
                .map(|health| format!("works as {}", health.account))
                .map_err(|error| error.to_string()),
        };
        findings.push(finding(&subject, found));
    }
    Ok(findings)
}

async fn queue(config: &Config) -> Result<String, String> {
    let QueueUrl::Redis(url) = &config.queue.url else {
        return Ok("lives inside the service".to_owned());
    };
    // No lanes: only whether it answers is asked.
    let queue = RedisQueue::open(url.expose(), [], Options::default()).await;
    let queue = queue.map_err(|e| e.to_string())?;
    let answer = queue.ping().await.map_err(|e| e.to_string());
    answer.map(|()| "answers".to_owned())
}

fn finding(subject: &str, result: Result<String, String>) -> Finding {
    let (ok, detail) = match result {
        Ok(detail) => (true, detail),
        Err(detail) => (false, detail),
    };
    Finding {
        ok,
        subject: subject.to_owned(),
        detail,
    }
}
