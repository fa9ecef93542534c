-- Echoes that may be of a part whose receipt is not recorded yet.
CREATE TABLE held_echoes (
    channel_id       TEXT NOT NULL,
    platform_id      TEXT NOT NULL,
    conversation_id  BIGINT NOT NULL,
    event            TEXT NOT NULL,
    -- At the latest then it is somebody's own message.
    until            BIGINT NOT NULL,
    PRIMARY KEY (channel_id, platform_id)
);
CREATE INDEX held_echoes_until ON held_echoes (until);
