//! A newer release beside this one: what it stores and says, and this one does not know.

use super::ledger::Ledger;
use super::rig::{Rig, ledger_world};
use serde_json::json;
use switchboard_testkit::until;

const DATABASE: &str = "switchboard";
/// Where processes tell one another, in database 0 of Redis.
const NEWS: &str = "switchboard:q1:0:news";
/// Records of the groups of the lane `bot`.
const GROUPS: &str = "switchboard:q1:{bot}:groups";

#[tokio::test]
async fn what_only_a_newer_release_knows_waits_for_it_and_traffic_goes_on() {
    let rig = Rig::start(ledger_world()).await;
    let world = &rig.world;
    // A conversation that this release cannot go on with is tried, in vain, every second.
    world.announce_error("nothing can be begun");
    world.join("worker-2", &["--role", "worker"]).await;
    let bot = world.emulator("bot");
    let ledger = Ledger::default();
    ledger.meet(world, 7000..7004).await;
    for customer in ["8001", "8002"] {
        bot.say_as(customer, "hello").await;
    }
    world.quiet().await;
    world
        .post("/admin/lanes/bot/pause", json!({}))
        .await
        .expect(200);
    let of_a_kind = world.text_later("bot", "8001", "of an unknown kind").await;
    // What the newer release made of it, and what it accepted for a channel that only it has.
    rig.store.sql(
        DATABASE,
        &format!(
            "UPDATE parts SET body = REPLACE(body, '\"kind\":\"text\"', '\"kind\":\"hologram\"')
                 WHERE message_id = {of_a_kind};
             INSERT INTO effects (channel_id, body, expires_at)
                 SELECT 'bot', '{{\"effect\":\"wave\"}}', creation_time + 60000 FROM messages
                 WHERE id = {of_a_kind}"
        ),
    );
    let of_a_lane = rig.store.sql(
        DATABASE,
        &format!(
            "WITH message AS (
                INSERT INTO messages (conversation_id, user_id, outbound, text, status, creation_time,
                    function, channel_id, open, seq, accepted_at, deadline_at, parts)
                SELECT c.id, 1, TRUE, 'of an unknown lane', 'queued', m.creation_time, m.function,
                    'newer', TRUE, c.next_seq, m.accepted_at, m.deadline_at, 1
                FROM messages m, conversations c
                WHERE m.id = {of_a_kind} AND c.address = '8002' RETURNING id
             ), part AS (
                INSERT INTO parts (message_id, idx, body, state)
                SELECT message.id, 0, REPLACE(REPLACE(REPLACE(p.body, 'hologram', 'text'), '8001',
                    '8002'), 'of an unknown kind', 'of an unknown lane'), 'waiting'
                FROM message, parts p WHERE p.message_id = {of_a_kind}
             )
             SELECT id FROM message"
        ),
    );
    rig.store.sql(
        DATABASE,
        "UPDATE conversations SET next_seq = next_seq + 1 WHERE address = '8002'",
    );
    let changed =
        format!("SELECT body LIKE '%hologram%' FROM parts WHERE message_id = {of_a_kind}");
    assert_eq!(rig.store.sql(DATABASE, &changed), "t");
    // A field more in what it has in the queue, and news of things to come.
    let groups = rig.queue.command(&["HGETALL", GROUPS]);
    let groups: Vec<&str> = groups.lines().collect();
    for pair in groups.chunks(2) {
        let more = format!("{}:more", pair[1]);
        rig.queue.command(&["HSET", GROUPS, pair[0], &more]);
    }
    assert!(!groups.is_empty(), "it waits in the queue");
    for news in ["somebody waltzes 1 2", "somebody rebuild with care", "?"] {
        rig.queue.command(&["PUBLISH", NEWS, news]);
    }
    world
        .post("/admin/lanes/bot/resume", json!({}))
        .await
        .expect(200);
    let doors = [world.root()];
    for _ in 0..5 {
        for n in 0..4 {
            ledger.say(world, &doors, 7000 + n).await;
            ledger.send(world, &doors, 7000 + n).await;
        }
    }
    until("the traffic to be through", || async {
        let texts = bot.texts().await;
        (texts.iter().filter(|t| t.contains("out 7")).count() == 20).then_some(())
    })
    .await;
    for id in [&of_a_kind, &of_a_lane] {
        assert_eq!(world.message(id).await["status"], "queued");
    }
    let effects = "SELECT COUNT(*) FROM effects";
    assert_eq!(rig.store.sql(DATABASE, effects), "1");
    // Somebody who knows them takes them.
    rig.store.sql(
        DATABASE,
        &format!(
            "UPDATE parts SET body = REPLACE(body, 'hologram', 'text') WHERE message_id = {of_a_kind};
             UPDATE messages SET channel_id = 'bot' WHERE id = {of_a_lane};
             DELETE FROM effects"
        ),
    );
    rig.queue.command(&["PUBLISH", NEWS, "somebody rebuild"]);
    for id in [&of_a_kind, &of_a_lane] {
        world.message_when(id, "sent").await;
    }
    ledger.settle(world).await.expect_kept();
    let texts = bot.texts().await;
    for text in ["of an unknown kind", "of an unknown lane"] {
        assert_eq!(texts.iter().filter(|t| *t == text).count(), 1, "{texts:?}");
    }
}
