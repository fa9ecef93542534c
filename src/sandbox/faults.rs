//! Faults on purpose: what a platform does on a bad day, switched on for some requests of an account.

use super::desk::locked;
use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use switchboard_channels::kit::http::Body;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub(super) enum Fault {
    /// 429 with `Retry-After`; the platform does not see the request.
    RateLimit {
        /// Seconds.
        retry_after: u64,
    },
    /// An answer that the platform did not give; it does not see the request.
    Error {
        status: u16,
        /// The answer's body, where the usual one is not wanted.
        #[serde(skip_serializing_if = "Option::is_none")]
        body: Option<String>,
    },
    /// Nothing for so long, then the connection closes; the platform does not see the request.
    Hang { seconds: u64 },
    /// The platform does what it is asked to; the connection closes without an answer.
    Reset,
    /// The platform does what it is asked to and answers so much later. Its webhooks do not wait
    /// for that: this is how a status comes before the answer to its send.
    Delay { ms: u64 },
}

impl Fault {
    /// The name, as in the log.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::RateLimit { .. } => "rate_limit",
            Self::Error { .. } => "error",
            Self::Hang { .. } => "hang",
            Self::Reset => "reset",
            Self::Delay { .. } => "delay",
        }
    }
}

/// A fault as it is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultForm {
    fault: String,
    retry_after: Option<u64>,
    status: Option<u16>,
    body: Option<String>,
    seconds: Option<u64>,
    ms: Option<u64>,
    #[serde(default)]
    after: u64,
    count: Option<u64>,
    path_contains: Option<String>,
    body_contains: Option<String>,
}

/// A fault that waits for its requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Rule {
    id: u64,
    #[serde(flatten)]
    fault: Fault,
    /// Matching requests that still pass.
    after: u64,
    /// Requests that it still hits; 0: all.
    count: u64,
    /// Requests that it hit.
    hits: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_contains: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_contains: Option<String>,
}

/// An hour: longer than anyone waits, and a typing error does not hold a connection for ever.
const LONGEST_SECONDS: u64 = 3600;

/// Faults of an account at once; each request is held against all of them.
const RULES_MAX: usize = 100;

impl FaultForm {
    /// A rule without a number.
    fn rule(self) -> Result<Rule, String> {
        self.no_strangers()?;
        let fault = match self.fault.as_str() {
            "rate_limit" => Fault::RateLimit {
                retry_after: self.retry_after.unwrap_or(1),
            },
            "error" => Fault::Error {
                status: self.status.unwrap_or(500),
                body: self.body,
            },
            "hang" => Fault::Hang {
                seconds: self.seconds.unwrap_or(30),
            },
            "reset" => Fault::Reset,
            "delay" => Fault::Delay {
                ms: self.ms.unwrap_or(100),
            },
            other => {
                return Err(format!(
                    "fault: found {other:?}; allowed: rate_limit, error, hang, reset, delay"
                ));
            }
        };
        match fault {
            Fault::Error { status, .. } if !(200..=599).contains(&status) => {
                return Err(format!("status: found {status}; allowed: 200 to 599"));
            }
            Fault::Hang { seconds } if seconds > LONGEST_SECONDS => {
                return Err(format!(
                    "seconds: found {seconds}; allowed: up to {LONGEST_SECONDS}"
                ));
            }
            Fault::Delay { ms } if ms > LONGEST_SECONDS * 1000 => {
                return Err(format!(
                    "ms: found {ms}; allowed: up to {}",
                    LONGEST_SECONDS * 1000
                ));
            }
            _ => (),
        }
        // A slow platform stays slow; anything else is one accident unless more are asked for.
        let usual = u64::from(!matches!(fault, Fault::Delay { .. }));
        Ok(Rule {
            id: 0,
            fault,
            after: self.after,
            count: self.count.unwrap_or(usual),
            hits: 0,
            path_contains: self.path_contains,
            body_contains: self.body_contains,
        })
    }

    /// Refuses what belongs to another fault: it would be a misunderstanding without effect.
    fn no_strangers(&self) -> Result<(), String> {
        let given = [
            ("retry_after", "rate_limit", self.retry_after.is_some()),
            ("status", "error", self.status.is_some()),
            ("body", "error", self.body.is_some()),
            ("seconds", "hang", self.seconds.is_some()),
            ("ms", "delay", self.ms.is_some()),
        ];
        match given.iter().find(|(_, of, is)| *is && *of != self.fault) {
            Some((key, of, _)) => Err(format!("{key}: belongs to the fault {of}")),
            None => Ok(()),
        }
    }
}

#[derive(Default)]
struct Rules {
    rules: Vec<Rule>,
    next_id: u64,
}

/// The faults of an account.
#[derive(Default)]
pub(super) struct Faults(Mutex<Rules>);

impl Faults {
    /// Adds a fault and returns its number.
    pub(super) fn add(&self, form: FaultForm) -> Result<u64, String> {
        let mut rule = form.rule()?;
        let mut rules = locked(&self.0);
        if rules.rules.len() >= RULES_MAX {
            return Err(format!("{RULES_MAX} faults are active; clear some"));
        }
        rules.next_id += 1;
        rule.id = rules.next_id;
        rules.rules.push(rule);
        Ok(rules.next_id)
    }

    /// The faults that may still hit something.
    pub(super) fn list(&self) -> Vec<Rule> {
        locked(&self.0).rules.clone()
    }

    /// Clears one or all; returns how many.
    pub(super) fn clear(&self, id: Option<u64>) -> usize {
        let mut rules = locked(&self.0);
        let before = rules.rules.len();
        rules
            .rules
            .retain(|rule| id.is_some_and(|id| rule.id != id));
        before - rules.rules.len()
    }

    /// What goes wrong with this request: the first fault that is for it. `path` is the platform's
    /// own, with its query.
    pub(super) fn hit(&self, path: &str, body: &Body) -> Option<Fault> {
        let mut held = locked(&self.0);
        let rules = &mut held.rules;
        let at = rules.iter_mut().position(|rule| rule.takes(path, body))?;
        let rule = rules.get_mut(at)?;
        rule.hits += 1;
        let fault = rule.fault.clone();
        if rule.count > 0 {
            rule.count -= 1;
            if rule.count == 0 {
                rules.remove(at);
            }
        }
        Some(fault)
    }
}

impl Rule {
    /// Whether this request is hit; counts those that match and still pass.
    fn takes(&mut self, path: &str, body: &Body) -> bool {
        let on_path = self.path_contains.as_deref();
        let in_body = self.body_contains.as_deref();
        let matches = on_path.is_none_or(|needle| path.contains(needle))
            && in_body.is_none_or(|needle| mentions(body, needle));
        if matches && self.after > 0 {
            self.after -= 1;
            return false;
        }
        matches
    }
}

/// Whether a body holds a text: JSON as it is written, forms in any decoded value or `name=value`;
/// files are not searched.
fn mentions(body: &Body, needle: &str) -> bool {
    let pair = |name: &str, value: &str| {
        value.contains(needle)
            || (needle.contains('=') && format!("{name}={value}").contains(needle))
    };
    match body {
        Body::Empty => needle.is_empty(),
        Body::Json(text) => text.contains(needle),
        Body::Form(pairs) => pairs.iter().any(|(name, value)| pair(name, value)),
        Body::Multipart(fields) => fields.iter().any(|field| match &field.file_name {
            Some(file_name) => file_name.contains(needle),
            None => pair(&field.name, &String::from_utf8_lossy(&field.bytes)),
        }),
        Body::Raw(bytes) => String::from_utf8_lossy(bytes).contains(needle),
    }
}
