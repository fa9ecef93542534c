//! The table itself.

use super::Kind::{
    Any, Attachments, Boolean, Details, FlagOrWords, Id, Ids, Json, List, Number, OneOf,
    PlainAttachments, QuickReplies, Since, Source, StatusCode, Text, Time, User, UserType, Word,
    Words,
};
use super::{
    Argument, Code, Function, Kind, MAX_EXPIRES_IN_SECONDS, MAX_PAGE, MAX_WAIT_SECONDS, Shape,
};

const fn need(name: &'static str, kind: Kind, doc: &'static str) -> Argument {
    Argument {
        name,
        kind,
        required: true,
        doc,
    }
}

const fn may(name: &'static str, kind: Kind, doc: &'static str) -> Argument {
    Argument {
        name,
        kind,
        required: false,
        doc,
    }
}

const MESSAGE: Argument = may(
    "message",
    Text,
    "The text. Needed unless there are attachments.",
);
const ATTACHMENTS: Argument = may(
    "attachments",
    Attachments,
    "Files that are already on a server: name and link of each.",
);
const SUBJECT: Argument = may(
    "subject",
    Text,
    "The subject. Default: that of the conversation, or the channel's own.",
);
const CONVERSATION: Argument = need("conversation_id", Id, "The conversation.");
const USER: Argument = need("user_id", Id, "The user.");
const PHONE: Argument = need(
    "to",
    Word,
    "The recipient's phone number with its country code.",
);
const PHONE_ID: Argument = may(
    "phone_id",
    Word,
    "The phone number id that it goes out from. Needed only where several numbers are configured.",
);
const PAGE: Argument = may(
    "pagination",
    Number(0, MAX_PAGE),
    "Which hundred: 1 (or 0) is the first, 2 the second.",
);
const ROUTING: Argument = may(
    "routing",
    Boolean,
    "Understood and ignored: the gateway routes nothing to agents.",
);
const ROUTING_UNASSIGNED: Argument = may("routing_unassigned", Boolean, "Understood and ignored.");
const FIRST_NAME: Argument = may("first_name", Text, "The first name.");
const LAST_NAME: Argument = may("last_name", Text, "The last name.");
const PROFILE_IMAGE: Argument = may("profile_image", Word, "Link of the picture.");
const PASSWORD: Argument = may(
    "password",
    Text,
    "Understood and ignored: users do not log in to the gateway.",
);
const USER_TYPE: Argument = may("user_type", UserType, "The user type.");
const STATUS_CODES: &str =
    "live = 0, waiting for the user = 1, waiting for an agent = 2, archive = 3, trash = 4.";

/// What every send takes.
const SEND: &[Argument] = &[
    may(
        "channel",
        Word,
        "The id of the channel that it goes out through. Needed only where several would do.",
    ),
    may("reply_to", Id, "The message that this one answers."),
    may("send_at", Time, "Send it then, not now."),
    may(
        "expires_in",
        Number(1, MAX_EXPIRES_IN_SECONDS),
        "Seconds after which it is worthless and no longer sent.",
    ),
    may(
        "quick_replies",
        QuickReplies,
        "Choices offered with the message.",
    ),
    may(
        "location",
        Json,
        "A place: {\"latitude\", \"longitude\", \"name\", \"address\"}.",
    ),
    may(
        "contacts",
        List,
        "Contact cards: [{\"name\", \"phones\": [], \"emails\": []}, …].",
    ),
    may(
        "priority",
        OneOf(&["normal", "bulk"]),
        "Bulk messages let normal ones pass.",
    ),
    may(
        "wait",
        Number(0, MAX_WAIT_SECONDS),
        "Seconds to wait for the outcome; 0 answers at once with status queued.",
    ),
    may(
        "idempotency_key",
        Word,
        "The same key sends once. Also taken from the header Idempotency-Key.",
    ),
];

/// What every send takes that can deliver a message stored before.
const STORED: &[Argument] = &[
    may(
        "message_id",
        Id,
        "A message that send-message has stored: it is delivered, not stored again.",
    ),
    may("metadata", Id, "The same under its older name."),
];

const SEND_ERRORS: &[Code] = &[
    Code::ChannelNotFound,
    Code::ChannelNotConfigured,
    Code::MessageNotFound,
    Code::IdempotencyConflict,
    Code::ContentRejected,
    Code::RecipientUnreachable,
    Code::WindowClosed,
    Code::PlatformError,
];

const CONVERSATION_SEND_ERRORS: &[Code] = &[
    Code::ConversationNotFound,
    Code::ChannelNotFound,
    Code::ChannelNotConfigured,
    Code::MessageNotFound,
    Code::IdempotencyConflict,
    Code::ContentRejected,
    Code::RecipientUnreachable,
    Code::WindowClosed,
    Code::PlatformError,
];

const SLACK: Argument = may(
    "channel",
    Word,
    "The id of our channel of kind slack. Needed only where there are several.",
);

const SLACK_ERRORS: &[Code] = &[
    Code::SlackNotActive,
    Code::ChannelNotFound,
    Code::PlatformAuthFailed,
    Code::PlatformError,
];

const SLACK_PRESENCE_ERRORS: &[Code] = &[
    Code::SlackNotActive,
    Code::ChannelNotFound,
    Code::UserNotFound,
    Code::PlatformAuthFailed,
    Code::PlatformError,
];

const SLACK_SEND_ERRORS: &[Code] = &[
    Code::SlackNotActive,
    Code::UserNotFound,
    Code::ChannelNotFound,
    Code::MessageNotFound,
    Code::IdempotencyConflict,
    Code::ContentRejected,
    Code::RecipientUnreachable,
    Code::PlatformError,
];

/// Every function, in the order of the documentation.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "whatsapp-send-message",
        summary: "Sends a message to a WhatsApp number.",
        own: &[PHONE, MESSAGE, ATTACHMENTS, PHONE_ID],
        shared: &[SEND, STORED],
        response: Shape::PlatformAnswer,
        errors: SEND_ERRORS,
    },
    Function {
        name: "whatsapp-send-template",
        summary: "Sends an approved WhatsApp template, which needs no open reply window.",
        own: &[
            PHONE,
            need("template_name", Word, "The template."),
            may(
                "template_languages",
                Words,
                "Language codes in which the template exists, with commas between them.",
            ),
            PHONE_ID,
            may(
                "parameters",
                List,
                "Texts with commas inside: those of the header, of the body, of the buttons.",
            ),
            may(
                "language",
                Word,
                "The language to send it in. Default: the first one that exists.",
            ),
            may(
                "conversation_url_parameter",
                Text,
                "What {conversation_url_parameter} becomes.",
            ),
            may("user_name", Text, "What {recipient_name} becomes."),
            may("user_email", Text, "What {recipient_email} becomes."),
            may("recipient_id", Id, "The user to whom it goes."),
        ],
        shared: &[SEND, STORED],
        response: Shape::PlatformAnswer,
        errors: SEND_ERRORS,
    },
    Function {
        name: "telegram-send-message",
        summary: "Sends a message to a Telegram chat.",
        own: &[
            need(
                "chat_id",
                Word,
                "The chat: the `extra` of its conversation.",
            ),
            MESSAGE,
            ATTACHMENTS,
            may(
                "conversation_id",
                Id,
                "The conversation. Needed only where several bots are configured.",
            ),
        ],
        shared: &[SEND, STORED],
        response: Shape::PlatformAnswer,
        errors: CONVERSATION_SEND_ERRORS,
    },
    Function {
        name: "messenger-send-message",
        summary: "Sends a message to Messenger or Instagram.",
        own: &[
            need(
                "psid",
                Word,
                "The person's id as the page sees it (PSID or IGSID).",
            ),
            MESSAGE,
            ATTACHMENTS,
            may(
                "facebook_page_id",
                Word,
                "The page. Needed only where several are configured.",
            ),
        ],
        shared: &[SEND, STORED],
        response: Shape::PlatformAnswer,
        errors: SEND_ERRORS,
    },
    Function {
        name: "viber-send-message",
        summary: "Sends a message to Viber.",
        own: &[
            need("viber_id", Word, "The person's Viber id."),
            MESSAGE,
            ATTACHMENTS,
        ],
        shared: &[SEND, STORED],
        response: Shape::PlatformAnswer,
        errors: SEND_ERRORS,
    },
    Function {
        name: "line-send-message",
        summary: "Sends a message to LINE.",
        own: &[
            need("line_id", Word, "The LINE id of the person, group or room."),
            MESSAGE,
            ATTACHMENTS,
        ],
        shared: &[SEND, STORED],
        response: Shape::PlatformAnswer,
        errors: SEND_ERRORS,
    },
    Function {
        name: "wechat-send-message",
        summary: "Sends a message to WeChat.",
        own: &[
            need("open_id", Word, "The person's open id."),
            MESSAGE,
            ATTACHMENTS,
        ],
        shared: &[SEND, STORED],
        response: Shape::PlatformAnswer,
        errors: SEND_ERRORS,
    },
    Function {
        name: "gbm-send-message",
        summary: "Sends a message to Google Business Messages.",
        own: &[
            need(
                "google_conversation_id",
                Word,
                "Google's id of the conversation.",
            ),
            MESSAGE,
            ATTACHMENTS,
        ],
        shared: &[SEND, STORED],
        response: Shape::PlatformAnswer,
        errors: SEND_ERRORS,
    },
    Function {
        name: "send-slack-message",
        summary: "Sends a message to Slack: to a Slack channel, or to where a user's conversation is shown.",
        own: &[
            may(
                "user_id",
                Id,
                "The user whose conversation it belongs to. Needed unless `channel` is Slack's.",
            ),
            may(
                "full_name",
                Text,
                "Who writes: shown beside the message, or at its beginning.",
            ),
            may(
                "profile_image",
                Word,
                "Link of the writer's picture, PNG or JPEG.",
            ),
            MESSAGE,
            ATTACHMENTS,
        ],
        shared: &[SEND],
        response: Shape::SlackPlace,
        errors: SLACK_SEND_ERRORS,
    },
    Function {
        name: "slack-users",
        summary: "The members of the Slack workspace, the agents, and which member is which agent.",
        own: &[SLACK],
        shared: &[],
        response: Shape::SlackUsers,
        errors: SLACK_ERRORS,
    },
    Function {
        name: "slack-channels",
        summary: "The channels of the Slack workspace, archived ones included.",
        own: &[SLACK],
        shared: &[],
        response: Shape::SlackChannels,
        errors: SLACK_ERRORS,
    },
    Function {
        name: "slack-presence",
        summary: "Whether an agent is online in Slack, or anybody, or who.",
        own: &[
            may(
                "agent_id",
                Word,
                "The agent, or the id of a member. Without one: whether anybody is online.",
            ),
            may("list", Boolean, "The ids of all who are online."),
            SLACK,
        ],
        shared: &[],
        response: Shape::SlackPresence,
        errors: SLACK_PRESENCE_ERRORS,
    },
    Function {
        name: "archive-slack-channels",
        summary: "Archives the Slack channels, except the one in which conversations are shown.",
        own: &[SLACK],
        shared: &[],
        response: Shape::True,
        errors: SLACK_ERRORS,
    },
    Function {
        name: "send-sms",
        summary: "Sends a text message to a phone number.",
        own: &[
            PHONE,
            MESSAGE,
            may(
                "attachments",
                PlainAttachments,
                "Files that are already on a server: links, or name and link of each.",
            ),
            may(
                "template",
                Boolean,
                "Understood and ignored: the gateway has no templates around a text message.",
            ),
            may(
                "conversation_id",
                Id,
                "The conversation that the message belongs to.",
            ),
        ],
        shared: &[SEND, STORED],
        response: Shape::PlatformAnswer,
        errors: CONVERSATION_SEND_ERRORS,
    },
    Function {
        name: "send-email",
        summary: "Sends an e-mail to a user, from the address of the channel.",
        own: &[
            may("recipient_id", Id, "The user to whom it goes. Needed."),
            MESSAGE,
            ATTACHMENTS,
            may(
                "sender_id",
                Id,
                "The user in whose name it is kept. Default: the bot.",
            ),
            SUBJECT,
        ],
        shared: &[SEND],
        response: Shape::True,
        errors: &[
            Code::MissingUserIdOrMessage,
            Code::UserEmailNotFound,
            Code::UserOrSenderNotFound,
            Code::ChannelNotFound,
            Code::ChannelNotConfigured,
            Code::MessageNotFound,
            Code::IdempotencyConflict,
            Code::ContentRejected,
            Code::RecipientUnreachable,
            Code::PlatformError,
        ],
    },
    Function {
        name: "send-custom-email",
        summary: "Sends an e-mail to an address, as a conversation of its own.",
        own: &[
            need("to", Word, "The e-mail address."),
            SUBJECT,
            MESSAGE,
            ATTACHMENTS,
            may(
                "sender_suffix",
                Text,
                "What stands behind the sender's name.",
            ),
        ],
        shared: &[SEND],
        response: Shape::True,
        errors: &[
            Code::ChannelNotFound,
            Code::ChannelNotConfigured,
            Code::MessageNotFound,
            Code::IdempotencyConflict,
            Code::ContentRejected,
            Code::RecipientUnreachable,
            Code::PlatformError,
        ],
    },
    Function {
        name: "email-piping",
        summary: "Fetches what has come into the mailboxes now, rather than when it is noticed.",
        own: &[
            may(
                "force",
                Boolean,
                "Look also when that was done within the last minute.",
            ),
            may(
                "wait",
                Number(0, MAX_WAIT_SECONDS),
                "Seconds to wait until every mailbox was read to its end.",
            ),
        ],
        shared: &[],
        response: Shape::True,
        errors: &[Code::ChannelNotConfigured],
    },
    Function {
        name: "messaging-platforms-send-message",
        summary: "Sends a message over whichever platform the conversation is on.",
        own: &[
            may(
                "conversation_id",
                Id,
                "The conversation. Not needed where `source`, `user` or `to` says whom it is for.",
            ),
            MESSAGE,
            ATTACHMENTS,
            may(
                "user",
                User,
                "The user to whom it goes. Default: the conversation's.",
            ),
            may(
                "source",
                Source,
                "The platform, with its own keys (chat_id, page_id). Default: the conversation's.",
            ),
            may(
                "to",
                Word,
                "The recipient's address on the platform, together with `channel` or `source`.",
            ),
        ],
        shared: &[SEND, STORED],
        response: Shape::True,
        errors: CONVERSATION_SEND_ERRORS,
    },
    Function {
        name: "send-message",
        summary: "Stores a message in a conversation; delivers it only when asked to.",
        own: &[
            need(
                "user_id",
                Id,
                "Who writes it: the contact, an agent, or the bot (get-bot-id).",
            ),
            CONVERSATION,
            MESSAGE,
            ATTACHMENTS,
            may(
                "conversation_status_code",
                StatusCode,
                "The conversation's new status code, or `skip`.",
            ),
            may("payload", Json, "Anything to be kept with the message."),
            may("queue", Boolean, "Understood and ignored."),
            may(
                "recipient_id",
                Id,
                "Understood and ignored: the conversation has its contact.",
            ),
            may(
                "deliver",
                Boolean,
                "Deliver it as well. Default: as the gateway is configured.",
            ),
        ],
        shared: &[SEND],
        response: Shape::StoredMessage,
        errors: &[
            Code::InvalidStatusCode,
            Code::UserNotFound,
            Code::ConversationNotFound,
            Code::ChannelNotFound,
            Code::ChannelNotConfigured,
            Code::MessageNotFound,
            Code::IdempotencyConflict,
            Code::ContentRejected,
            Code::RecipientUnreachable,
            Code::WindowClosed,
            Code::PlatformError,
        ],
    },
    Function {
        name: "direct-message",
        summary: "Sends one message to several users, each on the platform last used.",
        own: &[
            need("user_ids", Ids, "The users."),
            need("message", Text, "The text."),
            may(
                "subject",
                Text,
                "The subject, for those who are reached by e-mail.",
            ),
        ],
        shared: &[SEND],
        response: Shape::True,
        errors: &[
            Code::UserNotFound,
            Code::ChannelNotFound,
            Code::ChannelNotConfigured,
            Code::MessageNotFound,
            Code::IdempotencyConflict,
        ],
    },
    Function {
        name: "get-message",
        summary: "One message with its parts, its tries and the platform's words.",
        own: &[need("message_id", Id, "The message.")],
        shared: &[],
        response: Shape::MessageDetail,
        errors: &[Code::MessageNotFound],
    },
    Function {
        name: "get-conversation",
        summary: "A conversation and its messages.",
        own: &[
            CONVERSATION,
            may(
                "user_id",
                Id,
                "The contact; a conversation with somebody else is not found.",
            ),
        ],
        shared: &[],
        response: Shape::Conversation,
        errors: &[],
    },
    Function {
        name: "get-conversations",
        summary: "The conversations, each with its last message, latest first.",
        own: &[
            PAGE,
            may(
                "status_code",
                StatusCode,
                "Only those with this status code; `all` for every one. Default: all but archive and trash.",
            ),
            ROUTING,
            ROUTING_UNASSIGNED,
            may("department", Id, "Only those of this department."),
            may("source", Word, "Only those from this source code."),
            may("tag", Word, "Only those with this tag."),
        ],
        shared: &[],
        response: Shape::ConversationItems,
        errors: &[Code::InvalidStatusCode],
    },
    Function {
        name: "get-new-conversations",
        summary: "The conversations that began, or have a message written, after a point.",
        own: &[
            need("datetime", Since, "A conversation's id, a time or a day."),
            ROUTING,
            ROUTING_UNASSIGNED,
        ],
        shared: &[],
        response: Shape::ConversationItems,
        errors: &[],
    },
    Function {
        name: "get-user-conversations",
        summary: "The conversations of a user, each with its last message.",
        own: &[
            USER,
            may("exclude_id", Id, "A conversation to leave out."),
            may(
                "agents",
                Boolean,
                "Whether the user is an agent: those that the agent wrote in.",
            ),
        ],
        shared: &[],
        response: Shape::UserConversationItems,
        errors: &[],
    },
    Function {
        name: "get-new-messages",
        summary: "The messages of a conversation written after a point.",
        own: &[
            CONVERSATION,
            need("datetime", Since, "A message's id, a time or a day."),
            may(
                "user_id",
                Id,
                "The contact; a conversation with somebody else has no messages.",
            ),
        ],
        shared: &[],
        response: Shape::Messages,
        errors: &[],
    },
    Function {
        name: "get-user",
        summary: "A user.",
        own: &[USER, may("extra", Boolean, "With the additional details.")],
        shared: &[],
        response: Shape::User,
        errors: &[],
    },
    Function {
        name: "get-user-extra",
        summary: "The additional details of a user.",
        own: &[
            USER,
            may("slug", Word, "Only this detail's value."),
            may(
                "default",
                Any,
                "What to answer when there is no such detail.",
            ),
        ],
        shared: &[],
        response: Shape::UserExtra,
        errors: &[],
    },
    Function {
        name: "get-users",
        summary: "The users.",
        own: &[
            may(
                "sorting",
                Words,
                "Column and order: [\"creation_time\", \"DESC\"].",
            ),
            may("user_types", Words, "Only these user types. Default: all."),
            may(
                "search",
                Text,
                "Only those whose names, e-mail address or details hold this.",
            ),
            PAGE,
            may(
                "extra",
                FlagOrWords,
                "With the additional details, or with these of them.",
            ),
            may("user_ids", Ids, "Only these users."),
        ],
        shared: &[],
        response: Shape::Users,
        errors: &[Code::InvalidUserType],
    },
    Function {
        name: "search-users",
        summary: "The users whose names, e-mail address or details hold a text.",
        own: &[need("search", Text, "The text.")],
        shared: &[],
        response: Shape::Users,
        errors: &[],
    },
    Function {
        name: "add-user",
        summary: "Creates a user.",
        own: &[
            FIRST_NAME,
            LAST_NAME,
            may("email", Word, "The e-mail address."),
            PROFILE_IMAGE,
            PASSWORD,
            USER_TYPE,
            may("extra", Details, "Additional details."),
        ],
        shared: &[],
        response: Shape::Number,
        errors: &[Code::InvalidUserType, Code::DuplicateEmail],
    },
    Function {
        name: "update-user",
        summary: "Changes a user; what is not given stays.",
        own: &[
            USER,
            FIRST_NAME,
            LAST_NAME,
            may("email", Word, "The e-mail address; NULL removes it."),
            PROFILE_IMAGE,
            PASSWORD,
            USER_TYPE,
            may("settings_extra", Details, "Additional details."),
        ],
        shared: &[],
        response: Shape::True,
        errors: &[
            Code::UserNotFound,
            Code::InvalidUserType,
            Code::DuplicateEmail,
        ],
    },
    Function {
        name: "delete-user",
        summary: "Deletes a user with all conversations and messages, and cancels what waits to be sent.",
        own: &[USER],
        shared: &[],
        response: Shape::True,
        errors: &[Code::UserNotFound],
    },
    Function {
        name: "new-conversation",
        summary: "Begins a conversation with a user.",
        own: &[
            USER,
            may("status_code", StatusCode, STATUS_CODES),
            may("title", Text, "The title."),
            may("department", Id, "The department."),
            may("agent_id", Id, "The agent."),
            may("source", Word, "The source code of the platform."),
            may(
                "extra",
                Text,
                "What the platform needs: Telegram's chat id, Messenger's page id.",
            ),
            may("extra_2", Text, "More of it."),
            may("extra_3", Text, "More of it."),
            may("tags", Words, "Tags, with commas between them."),
            may(
                "channel",
                Word,
                "The id of the channel that it is to run over.",
            ),
        ],
        shared: &[],
        response: Shape::Conversation,
        errors: &[
            Code::InvalidStatusCode,
            Code::UserNotFound,
            Code::ChannelNotFound,
        ],
    },
    Function {
        name: "update-conversation-status",
        summary: "Changes the status code of a conversation.",
        own: &[CONVERSATION, need("status_code", StatusCode, STATUS_CODES)],
        shared: &[],
        response: Shape::True,
        errors: &[Code::InvalidStatusCode, Code::ConversationNotFound],
    },
    Function {
        name: "get-bot-id",
        summary: "The id of the user in whose name bots write.",
        own: &[],
        shared: &[],
        response: Shape::Number,
        errors: &[],
    },
];
