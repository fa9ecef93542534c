-- A store after some years: 5,000,000 messages of 300,000 people in 500,000 conversations, with what
-- belongs to them. Sizes and proportions are what the planner goes by; the texts are as long as people's.

SET synchronous_commit = off;
SET maintenance_work_mem = '512MB';

-- Indexes are made at the end, at once.
CREATE TEMP TABLE later AS
    SELECT indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND indexdef NOT LIKE '% UNIQUE %';
DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT indexname FROM later LOOP EXECUTE 'DROP INDEX ' || one.indexname; END LOOP;
END $$;

CREATE TEMP TABLE scale AS SELECT
    300000 AS people, 500000 AS talks, 5000000 AS messages,
    -- The end of the week that is told of, in milliseconds.
    1800000000000::BIGINT AS now, 600000000::BIGINT AS week;

INSERT INTO users (id, first_name, last_name, email, phone, user_type, token, creation_time, last_activity)
    SELECT n, 'First' || n, 'Last' || n % 5000,
        CASE WHEN n % 3 = 0 THEN 'person' || n || '@example.org' END,
        CASE WHEN n % 3 = 1 THEN '+1202' || n END,
        'user', md5(n::TEXT), now - week * 50, now - n
    FROM scale, generate_series(2, people) n;
INSERT INTO user_details
    SELECT n, 'language', 'Language', 'en' FROM scale, generate_series(2, people) n WHERE n % 2 = 0;
INSERT INTO identities
    SELECT 'channel:bot-' || n % 10, 'person-' || n, n FROM scale, generate_series(2, people) n;

INSERT INTO conversations (id, user_id, channel_id, source, thread_key, thread_live, status_code, address,
        creation_time, last_update_time, last_message_id, next_seq, updated_hour)
    SELECT n, 2 + n % (people - 1), 'bot-' || n % 10, 'tg', 'user:' || n, TRUE, n % 5, 'person-' || n,
        now - week * 50, now - n * 40, n * 10, 6, (now - n * 40) / 3600000
    FROM scale, generate_series(1, talks) n;
INSERT INTO participants
    SELECT n, 'person' || n || '@example.org' FROM scale, generate_series(1, talks, 10) n;

-- Every other one is ours; the last thousands of them wait, a few were given up.
INSERT INTO messages (id, conversation_id, user_id, outbound, text, status, creation_time, function, channel_id,
        open, seq, scheduled, send_at, accepted_at, deadline_at, parts, parts_sent, dead, finished_at,
        guest)
    SELECT n, 1 + n / 10 % talks,
        CASE WHEN n % 2 = 0 THEN 1 ELSE 2 + (1 + n / 10 % talks) % (people - 1) END,
        n % 2 = 0, repeat('What people write to each other. ', 1 + n % 5),
        CASE WHEN n % 2 = 1 THEN 'received' WHEN waits THEN 'queued' ELSE 'delivered' END,
        now - (messages - n) * 6000::BIGINT,
        CASE WHEN n % 2 = 0 THEN 'telegram-send-message' END,
        CASE WHEN n % 2 = 0 THEN 'bot-' || (1 + n / 10 % talks) % 10 END,
        waits, CASE WHEN n % 2 = 0 THEN n % 10 / 2 END,
        n % 2 = 0 AND n % 50000 = 2, CASE WHEN n % 50000 = 2 THEN now + n END,
        CASE WHEN n % 2 = 0 THEN now END, CASE WHEN n % 2 = 0 THEN now + 86400000 END,
        CASE WHEN n % 2 = 0 THEN 1 ELSE 0 END, CASE WHEN n % 2 = 0 AND NOT waits THEN 1 ELSE 0 END,
        n % 2 = 0 AND n % 5000 = 4, CASE WHEN n % 2 = 0 AND NOT waits THEN now END,
        n % 2 = 0 OR n % 1000 = 1
    FROM scale, LATERAL (SELECT n, n % 2 = 0 AND n > messages - 10000 AS waits
        FROM generate_series(1, messages) n) numbered;
INSERT INTO parts (message_id, idx, body, state, delivery, attempts, fence, answer)
    SELECT n, 0, '{"message":0,"index":0,"of":1,"to":"person","body":{"text":{"text":"' ||
        repeat('What people write. ', 1 + n % 5) || '"}}}',
        CASE WHEN n > messages - 10000 THEN 'waiting' ELSE 'sent' END,
        CASE WHEN n > messages - 10000 THEN NULL ELSE 'delivered' END, 1, n, '{"ok":true}'
    FROM scale, generate_series(2, messages, 2) n;
INSERT INTO attempts (message_id, idx, no, started_at, ended_at, outcome)
    SELECT n, 0, 1, now - 1000, now, 'sent' FROM scale, generate_series(2, messages - 10000, 2) n;
INSERT INTO platform_messages
    SELECT 'bot-' || n / 10 % talks % 10, 'message-' || n, n, 0
    FROM scale, generate_series(1, messages - 10000) n;
INSERT INTO reactions
    SELECT n, 2 + n % (people - 1), '+' FROM scale, generate_series(1, messages, 100) n;

-- What is kept for days: a message every half second of the last week.
INSERT INTO dedup_keys
    SELECT 'bot-' || n % 10, 'message-' || n, now - n * 600 FROM scale, generate_series(1, 1000000) n;
INSERT INTO events (id, uid, function, data, created_at)
    SELECT n, md5(n::TEXT), 'message-sent',
        '{"message_id":"' || n || '","message":"' || repeat('What people write. ', 4) || '"}',
        now - (1000000 - n) * 600
    FROM scale, generate_series(1, 1000000) n;
INSERT INTO deliveries (event_id, webhook_id, group_id, open, attempts, next_at, dead, finished_at)
    SELECT n, 'backend', 1 + n % talks, n > 995000, 1, now, n % 5000 = 0 AND n <= 995000,
        CASE WHEN n <= 995000 THEN now - (1000000 - n) * 600 END
    FROM scale, generate_series(1, 1000000) n;
INSERT INTO raw_events (channel_id, what, body, received_at)
    SELECT 'bot-' || n % 10, 'unknown', repeat('{"something":"new"}', 20), now - n * 60000
    FROM scale, generate_series(1, 20000) n;
INSERT INTO early_statuses
    SELECT 'bot-' || n % 10, 'early-' || n, 'read', NULL, now - n * 60000
    FROM scale, generate_series(1, 2000) n;
INSERT INTO held_echoes
    SELECT 'bot-' || n % 10, 'echo-' || n, n, '{}', now + n FROM scale, generate_series(1, 100) n;
INSERT INTO effects (channel_id, body, expires_at)
    SELECT 'bot-' || n % 10, '{}', now + n FROM scale, generate_series(1, 500) n;
INSERT INTO media (key, channel_id, message_id, idx, source, name, state, next_at, created_at)
    SELECT md5('media' || n), 'bot-' || n % 10, n * 10 + 1, 0, '{}', 'picture.jpg',
        CASE WHEN n > 399000 THEN 'pending' ELSE 'stored' END, now, now
    FROM scale, generate_series(1, 400000) n;
INSERT INTO kept_mails
    SELECT 'mail/' || md5(n::TEXT), n * 10 + 1, now - n FROM scale, generate_series(1, 50000) n;
INSERT INTO idempotency_keys
    SELECT md5('key' || n), 'telegram-send-message', '{}', messages - n * 2, now - n
    FROM scale, generate_series(1, 200000) n;
INSERT INTO mirrors
    SELECT n, 'desk', talks + n, TRUE FROM scale, generate_series(1, 20000) n;
INSERT INTO mirror_jobs (conversation_id, message_id, what, created_at)
    SELECT n, n, 'show', now FROM scale, generate_series(1, 200) n;

DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT indexdef FROM later LOOP EXECUTE one.indexdef; END LOOP;
END $$;
ANALYZE;
