-- Mailboxes that are read, one row per channel and folder.
CREATE TABLE mailboxes (
    channel_id    TEXT NOT NULL,
    folder        TEXT NOT NULL,
    -- Under which the server's numbers hold; 0: never opened.
    uid_validity  BIGINT NOT NULL DEFAULT 0,
    last_uid      BIGINT NOT NULL DEFAULT 0,
    -- When the newest mail that was taken came: where reading begins when the numbers change.
    newest_at     BIGINT NOT NULL DEFAULT 0,
    -- The lease of the one reader.
    fence         BIGINT NOT NULL DEFAULT 0,
    lease_until   BIGINT NOT NULL DEFAULT 0,
    -- Readers that began since something was taken last, and the mail that may have ended them.
    starts        BIGINT NOT NULL DEFAULT 0,
    trying_uid    BIGINT NOT NULL DEFAULT 0,
    tries         BIGINT NOT NULL DEFAULT 0,
    -- When it was read to its end last, and when somebody last asked for that.
    looked_at     BIGINT NOT NULL DEFAULT 0,
    wanted_at     BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (channel_id, folder)
) WITHOUT ROWID;

-- Raw mails in the media store, out of which attachments are cut; they go with their message.
CREATE TABLE kept_mails (
    key         TEXT PRIMARY KEY,
    message_id  BIGINT,
    kept_at     BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX kept_mails_message ON kept_mails (message_id);
CREATE INDEX kept_mails_kept ON kept_mails (kept_at);
