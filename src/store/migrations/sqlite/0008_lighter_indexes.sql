-- What people wrote is found through their conversations; only what they wrote in those of others
-- needs an entry of its own. Rows of before count as such.
ALTER TABLE messages ADD COLUMN guest BOOLEAN NOT NULL DEFAULT TRUE;
DROP INDEX messages_author;
CREATE INDEX messages_guest ON messages (user_id) WHERE guest AND user_id <> 1;

-- Lists go by the hour of the last message and then by its time, so that a conversation's place in
-- the index moves once an hour and not with every message.
ALTER TABLE conversations ADD COLUMN updated_hour BIGINT NOT NULL DEFAULT 0;
UPDATE conversations SET updated_hour = last_update_time / 3600000;
DROP INDEX conversations_updated;
CREATE INDEX conversations_hour ON conversations (updated_hour);

-- Events have numbers in the order of their times.
DROP INDEX events_created;

-- What is left of the ids of erased messages. Every message that comes is looked for here too, and here
-- are few; among the others each look would be for nothing.
CREATE TABLE erased_ids (
    channel_id  TEXT NOT NULL,
    hash        TEXT NOT NULL,
    PRIMARY KEY (channel_id, hash)
) WITHOUT ROWID;
INSERT INTO erased_ids
    SELECT channel_id, platform_id FROM platform_messages p WHERE LENGTH(platform_id) = 32
        AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = p.message_id);
