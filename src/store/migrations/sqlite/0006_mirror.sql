-- Conversations that are shown at a desk (Slack), where our own people read and answer them.
ALTER TABLE messages ADD COLUMN mirror_of BIGINT;
CREATE INDEX messages_mirror_of ON messages (mirror_of) WHERE mirror_of IS NOT NULL;

CREATE TABLE mirrors (
    -- The conversation that is shown, and the channel at which.
    conversation_id  BIGINT NOT NULL,
    desk             TEXT NOT NULL,
    -- The conversation there that shows it.
    mirror_id        BIGINT NOT NULL,
    -- Whether its first message has a place: before, it has no thread that answers could name.
    placed           BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (conversation_id, desk)
);
CREATE UNIQUE INDEX mirrors_mirror ON mirrors (mirror_id);
CREATE INDEX mirrors_unplaced ON mirrors (desk) WHERE NOT placed;

-- What is still to be shown or brought back; written with the message that it is about.
CREATE TABLE mirror_jobs (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id  BIGINT NOT NULL,
    message_id       BIGINT NOT NULL,
    what             TEXT NOT NULL,
    created_at       BIGINT NOT NULL
);
CREATE INDEX mirror_jobs_conversation ON mirror_jobs (conversation_id, id);
