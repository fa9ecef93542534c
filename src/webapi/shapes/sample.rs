//! Rows for the documentation: one of each with everything filled in, and one with nothing that can
//! be absent. The described shapes and the shown examples are what the builders make of them, so
//! that neither can say anything else than the code does.

use super::{
    AttemptRow, ConversationRow, DetailRow, MessageDetail, MessageRow, MessageStatus, PartRow,
    Person, UserRow, answers, events,
};
use crate::webapi::names::Shape;
use serde_json::{Value, json};
use switchboard_channels::Words;
use switchboard_channels::model::{ConversationId, MessageId, Millis, UserId};

/// 2026-01-02 03:04:05.
const WHEN: Millis = Millis(1_767_323_045_000);

fn person(id: i64, user_type: &str) -> Person {
    Person {
        id: UserId(id),
        first_name: "First".to_owned(),
        last_name: "Last".to_owned(),
        profile_image: "https://chat.example.com/user.svg".to_owned(),
        user_type: user_type.to_owned(),
    }
}

fn user(full: bool) -> UserRow {
    UserRow {
        person: person(7, "lead"),
        email: full.then(|| "first@example.com".to_owned()),
        creation_time: WHEN,
        last_activity: WHEN,
        department: full.then_some(1),
    }
}

fn details() -> Vec<DetailRow> {
    vec![DetailRow {
        slug: "phone".to_owned(),
        name: "Phone".to_owned(),
        value: "+15550100".to_owned(),
    }]
}

/// A conversation.
pub(super) fn conversation(full: bool) -> ConversationRow {
    let text = |s: &str| full.then(|| s.to_owned());
    ConversationRow {
        id: ConversationId(4),
        user: person(7, "lead"),
        title: String::new(),
        status_code: 2,
        creation_time: WHEN,
        department: full.then_some(1),
        agent_id: full.then_some(3),
        source: text("wa"),
        channel: text("support"),
        extra: text("100000000000001"),
        extra_2: text("more"),
        extra_3: text("more"),
        tags: text("vip").into_iter().collect(),
    }
}

/// A message.
pub(super) fn message(full: bool) -> MessageRow {
    let link = (
        "menu.pdf".to_owned(),
        "https://files.example.com/menu.pdf".to_owned(),
    );
    MessageRow {
        id: MessageId(9),
        conversation_id: ConversationId(4),
        author: person(7, "lead"),
        text: "Hello!".to_owned(),
        creation_time: WHEN,
        attachments: full.then_some(link).into_iter().collect(),
        status_code: 0,
        status: MessageStatus::Sent,
        payload: full.then(|| json!({"key": "value"})),
    }
}

fn words() -> Words {
    Words::new("131026", "Message undeliverable")
}

fn message_detail(full: bool) -> MessageDetail {
    MessageDetail {
        message: message(full),
        channel: full.then(|| "support".to_owned()),
        source: full.then(|| "wa".to_owned()),
        send_at: full.then_some(WHEN),
        expires_at: full.then_some(WHEN),
        reply_to: full.then_some(MessageId(8)),
        platform_ids: vec!["wamid.1".to_owned()],
        parts: vec![PartRow {
            index: 0,
            kind: "text".to_owned(),
            status: MessageStatus::Sent,
            platform_ids: vec!["wamid.1".to_owned()],
        }],
        attempts: vec![AttemptRow {
            number: 1,
            part: 0,
            started: WHEN,
            ended: full.then_some(WHEN),
            outcome: full.then(|| "recipient".to_owned()),
            words: full.then(words),
        }],
        error_class: full.then(|| "recipient".to_owned()),
        error: full.then(words),
    }
}

/// What functions of this shape answer: the fullest answer first, then others that differ in form.
pub fn responses(shape: Shape) -> Vec<Value> {
    let both = |of: fn(bool) -> Value| vec![of(true), of(false)];
    match shape {
        Shape::SlackPlace => vec![json!(["C0000000001"]), json!(true)],
        Shape::SlackUsers => vec![
            json!({
                "slack_users": [{"id": "U0000000001", "name": "First Last"}],
                "agents": [{"id": "3", "name": "First Last"}],
                "saved": {"U0000000001": "3"},
            }),
            json!({"slack_users": [], "agents": [], "saved": {}}),
        ],
        Shape::SlackChannels => vec![json!({
            "ok": true, "channels": [{"id": "C0000000001", "name": "general", "is_archived": false}],
            "response_metadata": {"next_cursor": ""},
        })],
        Shape::SlackPresence => vec![json!("online"), json!(["3"])],
        Shape::PlatformAnswer => vec![json!({
            "messaging_product": "whatsapp",
            "contacts": [{"input": "+15550100", "wa_id": "15550100"}],
            "messages": [{"id": "wamid.1"}],
        })],
        Shape::True => vec![json!(true)],
        Shape::Number => vec![answers::user_id(UserId(7))],
        Shape::User => vec![
            answers::user_with_details(&user(true), Some(&details())),
            answers::user_with_details(&user(false), None),
        ],
        Shape::Users => both(|full| {
            json!([if full {
                answers::listed_user_with_details(&user(full), &details())
            } else {
                answers::user(&user(full))
            }])
        }),
        Shape::UserExtra => vec![answers::user_extra(&details())],
        Shape::Conversation => {
            both(|full| answers::conversation(&conversation(full), &[message(full)]))
        }
        Shape::ConversationItems => both(|full| {
            let last = full.then(|| message(true));
            json!([answers::conversation_item(
                &conversation(full),
                last.as_ref()
            )])
        }),
        Shape::UserConversationItems => both(|full| {
            let last = full.then(|| message(true));
            json!([answers::user_conversation_item(
                &conversation(full),
                last.as_ref()
            )])
        }),
        Shape::Messages => both(|full| json!([answers::message(&message(full))])),
        Shape::MessageDetail => both(|full| answers::message_detail(&message_detail(full))),
        Shape::StoredMessage => vec![answers::stored_message(MessageId(9), "Hello!")],
    }
}

/// The data of an event.
pub fn event(name: events::EventName) -> Value {
    use events::EventName as E;
    let (talk, said) = (conversation(true), message(true));
    let (message_id, conversation_id, user_id) = (said.id, talk.id, talk.user.id);
    match name {
        E::MessageSent => json!(events::message_sent(&talk, &said)),
        E::NewMessages => json!(events::new_messages(&talk, &[said])),
        E::NewConversationCreated => events::new_conversation_created(&talk, &[said]),
        E::ConversationStatusUpdated => events::conversation_status_updated(conversation_id, 0),
        E::MessageDeleted => events::message_deleted(message_id),
        E::UserDeleted => events::user_deleted(user_id),
        E::SmsSent => events::sms_sent(
            user_id,
            "Hello!",
            "+15550199",
            "+15550100",
            json!({"sid": "SM1", "status": "queued"}),
        ),
        E::EmailSent => events::email_sent(user_id, "Hello!", &said.attachments),
        E::SlackMessageSent => events::slack_message_sent("Hello!", conversation_id, "C0000000001"),
        E::MessageStatusUpdated => events::message_status_updated(&events::StatusStep {
            message: message_id,
            conversation: conversation_id,
            status: MessageStatus::Failed,
            platform_ids: &[],
            parts_sent: 0,
            parts: 1,
            error: Some(("recipient", Some(&words()))),
        }),
        E::MessageUpdated => events::message_updated(&said),
        E::MessageReaction => {
            events::message_reaction(message_id, conversation_id, user_id, "👍", true)
        }
        E::UserUpdated => {
            events::user_updated(user_id, Some(conversation_id), events::UserNews::OptedOut)
        }
        E::ChannelPaused => events::channel_paused(
            "support",
            events::PauseReason::Credentials,
            "the access token has expired",
        ),
        E::ChannelResumed => events::channel_resumed("support"),
    }
}
