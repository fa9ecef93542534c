//! The only file that reaches out, through [`Ctx`].

mod media;

pub use media::fetch_media;

use super::classify::{self, NOT_FETCHED};
use super::config::Account;
use super::plan::{self, Address, Platform};
use super::render::{
    Gesture, How, call as render_call, render, render_gesture, render_profile,
};
use super::wire;
use crate::error::{Class, SendError, SetupScope};
use crate::kit::http::{Ctx, Request, Response};
use crate::kit::json::shape;
use crate::kit::status::transport_error;
use crate::model::{Effect, Health, Millis, Part, PartBody, Profile, Receipt, Sender};

/// How long after the person's last message a person on our side may write ("Human Agent", read
/// November 2026: seven days), counted from the end of the day that anybody may write in.
const HUMAN_AGENT_MILLIS: i64 = 6 * 24 * 60 * 60 * 1000;

async fn call(request: Request, ctx: &Ctx<'_>) -> Result<Response, SendError> {
    let answer = ctx.transport.call(request).await;
    answer.map_err(|error| transport_error(&error))
}

/// Sends one part: as planned and, where Meta refuses it for something that can be changed, once more
/// with each such change. A refused request did nothing, so nothing goes out twice.
///
/// # Errors
/// With the class that decides what happens next.
///
/// # Cancel safety
/// A cancelled delivery may have been made: it counts as unsure.
pub async fn deliver(account: &Account, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
    let Some(to) = Address::parse(&part.to) else {
        let scope = SetupScope::Message;
        let words = "the address is that of no person on Messenger or Instagram";
        return Err(SendError::new(Class::Setup { scope }, "address", words));
    };
    let languages = match &part.body {
        PartBody::Template { template } => plan::languages(template, &account.settings),
        _ => Vec::new(),
    };
    let mut how = How {
        human_agent: is_late(ctx) && may_be_late(account, part, ctx),
        language: languages.first().cloned(),
        again: false,
    };
    loop {
        let response = call(render(part, &to, account, &how), ctx).await?;
        let error = match classify::classify(&response) {
            Ok(receipt) => return Ok(with_alias(receipt, &to)),
            Err(error) => error,
        };
        match change(&how, &error, &languages, part, account, ctx) {
            Some(changed) => how = changed,
            None => return Err(error),
        }
    }
}

/// Whether the day is over in which everybody may write. Unknown: it is not, until Meta says so.
fn is_late(ctx: &Ctx<'_>) -> bool {
    ctx.window_until.is_some_and(|until| ctx.now > until)
}

/// Whether this part may still go with the tag for people, were it late.
fn may_be_late(account: &Account, part: &Part, ctx: &Ctx<'_>) -> bool {
    let open = |until: Millis| ctx.now.since(until) <= HUMAN_AGENT_MILLIS;
    account.settings.human_agent_enabled
        && !matches!(part.body, PartBody::Template { .. })
        && ctx.window_until.is_none_or(open)
}

/// The next way to send a part. `None`: nothing can be changed, so the refusal stands. Every change is
/// one that a second refusal cannot ask for again: the loop ends.
fn change(
    how: &How,
    error: &SendError,
    languages: &[String],
    part: &Part,
    account: &Account,
    ctx: &Ctx<'_>,
) -> Option<How> {
    let words = error.words.as_ref()?;
    let mut changed = how.clone();
    match (&part.body, error.class) {
        // Meta counts the day more closely than we do.
        (_, Class::Window) if !how.human_agent && may_be_late(account, part, ctx) => {
            changed.human_agent = true;
        }
        // Hosts have bad moments: one more try, then the link is to blame.
        (PartBody::Media { .. }, Class::Content)
            if !how.again && words.code.ends_with(&format!("/{NOT_FETCHED}")) =>
        {
            changed.again = true;
        }
        // A template that does not exist in a language is a wrong parameter like any other.
        (PartBody::Template { .. }, Class::Content) if is_parameter(&words.code) => {
            let tried = languages
                .iter()
                .position(|l| Some(l) == how.language.as_ref())?;
            changed.language = Some(languages.get(tried + 1)?.clone());
        }
        _ => return None,
    }
    Some(changed)
}

fn is_parameter(code: &str) -> bool {
    code == "100" || code.starts_with("100/")
}

/// Names the person as the answer does, where that is not how they were addressed.
fn with_alias(receipt: Receipt, to: &Address) -> Receipt {
    let answered = classify::recipient_of(&receipt).and_then(|id| {
        let id = Address::parse(&id)?.id;
        Some(Address { id, ..to.clone() })
    });
    let alias = answered.filter(|answered| answered != to);
    Receipt {
        alias: alias.map(|address| address.to_string()),
        ..receipt
    }
}

/// Asks for the page's name, and whether its events go to an app at all: Meta takes the subscription
/// away after long failures, and nothing else would tell.
///
/// # Errors
/// When the token does not work for the page, or Meta cannot be asked.
pub async fn probe(account: &Account, ctx: &Ctx<'_>) -> Result<Health, SendError> {
    let id = &account.settings.page_id;
    let path = format!("{id}?fields=id,name");
    let answer = call(render_call(account, Request::get, &path), ctx).await;
    let answer = answer.map_err(harmless)?;
    if !answer.is_success() {
        return Err(harmless(classify::error_of(&answer)));
    }
    let page: wire::Page = serde_json::from_slice(&answer.body)
        .map_err(|e| SendError::new(Class::Retry, "probe", shape(&e)))?;
    let mut name = match page.name {
        Some(name) => format!("{name} ({})", page.id),
        None => page.id,
    };
    let path = format!("{id}/subscribed_apps");
    if let Ok(answer) = call(render_call(account, Request::get, &path), ctx).await
        && answer.is_success()
        && serde_json::from_slice::<wire::Subscribed<'_>>(&answer.body)
            .is_ok_and(|apps| apps.data.is_empty())
    {
        // Sending works all the same, so that this is no failure.
        name.push_str("; no app is subscribed to the page, so that no events come");
    }
    Ok(Health { account: name })
}

/// Fetches a profile, shows that a message was seen or that somebody is writing.
///
/// # Errors
/// When Meta refuses or cannot be asked; a profile that it keeps to itself is an empty one.
pub async fn perform(
    account: &Account,
    effect: &Effect,
    ctx: &Ctx<'_>,
) -> Result<Option<Sender>, SendError> {
    let (request, person) = match effect {
        Effect::FetchProfile { user } => {
            let Some(person) = Address::parse(user) else {
                return Ok(None);
            };
            (render_profile(&person, account), Some(person))
        }
        Effect::MarkRead { address, .. } | Effect::ShowTyping { address } => {
            let Some(to) = Address::parse(address) else {
                return Ok(None);
            };
            let gesture = match effect {
                Effect::ShowTyping { .. } => Gesture::Typing,
                _ => Gesture::Seen,
            };
            (render_gesture(gesture, &to, account), None)
        }
        Effect::AnswerCallback { .. } => return Ok(None),
    };
    let answer = call(request, ctx).await.map_err(harmless)?;
    if !answer.is_success() {
        return Err(harmless(classify::error_of(&answer)));
    }
    let Some(person) = person else {
        return Ok(None);
    };
    let profile = serde_json::from_slice::<wire::Person>(&answer.body);
    Ok(profile.ok().and_then(|profile| sender(&person, profile)))
}

/// A profile in our terms. `None`: Meta gave nothing away.
fn sender(person: &Address, profile: wire::Person) -> Option<Sender> {
    let detail = |slug: &str, name: &str, value: Option<String>| {
        value.map(|value| (slug.to_owned(), name.to_owned(), value))
    };
    let known = Profile {
        // Instagram has one field, which is as often a shop's name as a person's.
        first_name: profile.first_name.or(profile.name),
        last_name: profile.last_name,
        image_url: profile.profile_pic.filter(|url| plan::is_web(url)),
        language: None,
        details: match person.platform {
            Platform::Messenger => Vec::new(),
            Platform::Instagram => [
                detail("instagram_username", "Instagram", profile.username),
                detail(
                    "instagram_followers",
                    "Instagram followers",
                    profile.follower_count,
                ),
            ]
            .into_iter()
            .flatten()
            .collect(),
        },
    };
    (known != Profile::default()).then(|| Sender {
        ids: vec![person.to_string()],
        profile: known,
        ..Sender::default()
    })
}

/// Where repeating does no harm, not knowing is no more than not done.
fn harmless(error: SendError) -> SendError {
    match error.class {
        Class::Unsure => SendError {
            class: Class::Retry,
            ..error
        },
        _ => error,
    }
}

#[cfg(test)]
mod tests;
