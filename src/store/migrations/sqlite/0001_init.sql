-- The truth of Switchboard. Times are BIGINT milliseconds since 1970 UTC, structured values are
-- JSON in TEXT, so that the same statements run on SQLite and on PostgreSQL.

CREATE TABLE users (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    first_name     TEXT NOT NULL,
    last_name      TEXT NOT NULL,
    email          TEXT,
    phone          TEXT,
    profile_image  TEXT NOT NULL DEFAULT '',
    user_type      TEXT NOT NULL,
    language       TEXT,
    department     TEXT,
    token          TEXT NOT NULL,
    creation_time  BIGINT NOT NULL,
    last_activity  BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_email ON users (email) WHERE email IS NOT NULL;

CREATE TABLE user_details (
    user_id  BIGINT NOT NULL,
    slug     TEXT NOT NULL,
    name     TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (user_id, slug)
) WITHOUT ROWID;

-- Who a platform's id is. `scope` says among whom the id is unique: 'channel:ID', 'kind:KIND',
-- 'phone' (E.164) or 'email'.
CREATE TABLE identities (
    scope             TEXT NOT NULL,
    platform_user_id  TEXT NOT NULL,
    user_id           BIGINT NOT NULL,
    PRIMARY KEY (scope, platform_user_id)
) WITHOUT ROWID;
CREATE INDEX identities_user ON identities (user_id);

CREATE TABLE conversations (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id           BIGINT NOT NULL,
    channel_id        TEXT NOT NULL,
    source            TEXT NOT NULL,
    -- 'user:ID' for the conversation with a person, 'thread:KEY' for a group, topic or mail thread.
    thread_key        TEXT NOT NULL,
    -- Whether new messages of that thread come here: not any more once it is in the trash.
    thread_live       BOOLEAN NOT NULL,
    title             TEXT NOT NULL DEFAULT '',
    status_code       BIGINT NOT NULL,
    department        TEXT,
    agent_id          TEXT,
    extra             TEXT,
    extra_2           TEXT,
    extra_3           TEXT,
    tags              TEXT,
    -- Where an answer goes, in the platform's terms.
    address           TEXT NOT NULL,
    window_until      BIGINT,
    -- A platform's one-time right to answer, and until when it is good.
    reply_token       TEXT,
    reply_token_until BIGINT,
    creation_time     BIGINT NOT NULL,
    last_update_time  BIGINT NOT NULL,
    last_message_id   BIGINT NOT NULL DEFAULT 0,
    next_seq          BIGINT NOT NULL DEFAULT 1,
    -- The highest lease that ever opened an attempt here: a stalled worker holds a lower one.
    fence             BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX conversations_thread ON conversations (channel_id, thread_key) WHERE thread_live;
CREATE INDEX conversations_user ON conversations (user_id, last_update_time);
CREATE INDEX conversations_status ON conversations (status_code, last_update_time);
CREATE INDEX conversations_updated ON conversations (last_update_time);

CREATE TABLE messages (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id  BIGINT NOT NULL,
    user_id          BIGINT NOT NULL,
    outbound         BOOLEAN NOT NULL,
    text             TEXT NOT NULL,
    attachments      TEXT NOT NULL DEFAULT '',
    payload          TEXT NOT NULL DEFAULT '',
    status           TEXT NOT NULL,
    creation_time    BIGINT NOT NULL,
    reply_to         BIGINT,
    deleted          BOOLEAN NOT NULL DEFAULT FALSE,
    -- When its author last changed it, by the platform's clock.
    edited_at        BIGINT NOT NULL DEFAULT 0,
    -- Only for what goes out.
    function         TEXT,
    channel_id       TEXT,
    -- Waits to be sent. `seq` is its number in the conversation, taken when it is accepted or, for
    -- a scheduled message, when it is due.
    open             BOOLEAN NOT NULL DEFAULT FALSE,
    seq              BIGINT,
    bulk             BOOLEAN NOT NULL DEFAULT FALSE,
    send_at          BIGINT,
    scheduled        BOOLEAN NOT NULL DEFAULT FALSE,
    accepted_at      BIGINT,
    deadline_at      BIGINT,
    next_at          BIGINT NOT NULL DEFAULT 0,
    failures         BIGINT NOT NULL DEFAULT 0,
    first_failed_at  BIGINT,
    parts            BIGINT NOT NULL DEFAULT 0,
    parts_sent       BIGINT NOT NULL DEFAULT 0,
    dead             BOOLEAN NOT NULL DEFAULT FALSE,
    finished_at      BIGINT,
    error_class      TEXT,
    error_code       TEXT,
    error_message    TEXT
);
CREATE INDEX messages_conversation ON messages (conversation_id, id);
-- What people wrote, wherever it stands; the bot writes most and is never looked for.
CREATE INDEX messages_author ON messages (user_id) WHERE user_id <> 1;
CREATE INDEX messages_open ON messages (conversation_id, seq) WHERE open;
CREATE INDEX messages_deadline ON messages (deadline_at) WHERE open;
CREATE INDEX messages_scheduled ON messages (send_at) WHERE scheduled;
CREATE INDEX messages_dead ON messages (channel_id, finished_at) WHERE dead;
CREATE INDEX messages_died ON messages (finished_at) WHERE dead;

CREATE TABLE parts (
    message_id      BIGINT NOT NULL,
    idx             BIGINT NOT NULL,
    body            TEXT NOT NULL,
    -- 'waiting', 'begun' (an attempt is open), 'unsure', 'sent', 'failed'
    state           TEXT NOT NULL,
    -- 'sent', 'delivered', 'read' or 'failed', as the platform reported
    delivery        TEXT,
    fence           BIGINT NOT NULL DEFAULT 0,
    attempts        BIGINT NOT NULL DEFAULT 0,
    unsure_resends  BIGINT NOT NULL DEFAULT 0,
    begun_at        BIGINT,
    heartbeat_at    BIGINT,
    answer          TEXT,
    PRIMARY KEY (message_id, idx)
);

CREATE TABLE attempts (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id  BIGINT NOT NULL,
    idx         BIGINT NOT NULL,
    no          BIGINT NOT NULL,
    started_at  BIGINT NOT NULL,
    ended_at    BIGINT NOT NULL,
    -- 'sent' or the class of the failure
    outcome     TEXT NOT NULL,
    code        TEXT,
    message     TEXT
);
CREATE INDEX attempts_message ON attempts (message_id, idx, no);

-- The platform's ids of messages, both directions; kept for good.
CREATE TABLE platform_messages (
    channel_id   TEXT NOT NULL,
    platform_id  TEXT NOT NULL,
    message_id   BIGINT NOT NULL,
    idx          BIGINT NOT NULL,
    PRIMARY KEY (channel_id, platform_id)
) WITHOUT ROWID;
CREATE INDEX platform_messages_message ON platform_messages (message_id, idx);

CREATE TABLE reactions (
    message_id  BIGINT NOT NULL,
    user_id     BIGINT NOT NULL,
    emoji       TEXT NOT NULL,
    PRIMARY KEY (message_id, user_id, emoji)
) WITHOUT ROWID;
CREATE INDEX reactions_user ON reactions (user_id);

-- What was seen already.
CREATE TABLE dedup_keys (
    channel_id  TEXT NOT NULL,
    key         TEXT NOT NULL,
    seen_at     BIGINT NOT NULL,
    PRIMARY KEY (channel_id, key)
) WITHOUT ROWID;
CREATE INDEX dedup_keys_seen ON dedup_keys (seen_at);

-- Statuses that came before their send was recorded.
CREATE TABLE early_statuses (
    channel_id   TEXT NOT NULL,
    platform_id  TEXT NOT NULL,
    status       TEXT NOT NULL,
    error        TEXT,
    received_at  BIGINT NOT NULL,
    PRIMARY KEY (channel_id, platform_id, status)
) WITHOUT ROWID;
CREATE INDEX early_statuses_received ON early_statuses (received_at);

-- What could not be understood or had no place to go.
CREATE TABLE raw_events (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    channel_id   TEXT NOT NULL,
    what         TEXT NOT NULL,
    body         TEXT NOT NULL,
    received_at  BIGINT NOT NULL
);
CREATE INDEX raw_events_received ON raw_events (received_at);

-- Events for the chat backend, frozen when written.
CREATE TABLE events (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    uid         TEXT NOT NULL,
    function    TEXT NOT NULL,
    data        TEXT NOT NULL,
    created_at  BIGINT NOT NULL
);
CREATE INDEX events_created ON events (created_at);

CREATE TABLE deliveries (
    event_id     BIGINT NOT NULL,
    webhook_id   TEXT NOT NULL,
    -- The conversation, or 0 for events of a channel: what keeps its order.
    group_id     BIGINT NOT NULL,
    open         BOOLEAN NOT NULL,
    attempts     BIGINT NOT NULL DEFAULT 0,
    next_at      BIGINT NOT NULL,
    first_at     BIGINT,
    dead         BOOLEAN NOT NULL DEFAULT FALSE,
    finished_at  BIGINT,
    error        TEXT,
    PRIMARY KEY (event_id, webhook_id)
) WITHOUT ROWID;
CREATE INDEX deliveries_open ON deliveries (webhook_id, group_id, event_id) WHERE open;
CREATE INDEX deliveries_dead ON deliveries (webhook_id, event_id) WHERE dead;
CREATE INDEX deliveries_died ON deliveries (finished_at) WHERE dead;

CREATE TABLE effects (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    channel_id  TEXT NOT NULL,
    body        TEXT NOT NULL,
    expires_at  BIGINT NOT NULL
);

CREATE TABLE media (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    key         TEXT NOT NULL UNIQUE,
    channel_id  TEXT NOT NULL,
    message_id  BIGINT NOT NULL,
    idx         BIGINT NOT NULL,
    source      TEXT NOT NULL,
    name        TEXT NOT NULL,
    mime        TEXT,
    size_bytes  BIGINT,
    -- 'pending', 'stored' or 'failed'
    state       TEXT NOT NULL,
    failures    BIGINT NOT NULL DEFAULT 0,
    next_at     BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    error       TEXT
);
CREATE INDEX media_message ON media (message_id);
CREATE INDEX media_pending ON media (channel_id, id) WHERE state = 'pending';

CREATE TABLE idempotency_keys (
    key         TEXT PRIMARY KEY,
    function    TEXT NOT NULL,
    arguments   TEXT NOT NULL,
    message_id  BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);

-- Access tokens that platforms hand out for a while, refreshed by one worker for all.
CREATE TABLE tokens (
    name              TEXT PRIMARY KEY,
    value             TEXT NOT NULL,
    version           BIGINT NOT NULL,
    expires_at        BIGINT NOT NULL,
    -- Somebody is at it until this time; 0: nobody.
    refreshing_until  BIGINT NOT NULL
) WITHOUT ROWID;

-- Lanes that wait for a person or for better credentials; survives a restart.
CREATE TABLE paused_lanes (
    lane     TEXT PRIMARY KEY,
    reason   TEXT NOT NULL,
    message  TEXT NOT NULL,
    since    BIGINT NOT NULL
) WITHOUT ROWID;

-- The bot is the author of what is sent without saying by whom.
INSERT INTO users (id, first_name, last_name, user_type, token, creation_time, last_activity)
VALUES (1, 'Switchboard', '', 'bot', '', 0, 0);
