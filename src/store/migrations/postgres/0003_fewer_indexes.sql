-- Every message moves its conversation's last_update_time, and with it an entry of each index that
-- holds it. Lists by status follow the time (conversations_updated); a person has few conversations.
DROP INDEX conversations_status;
DROP INDEX conversations_user;
CREATE INDEX conversations_user ON conversations (user_id);
