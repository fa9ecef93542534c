//! Limits of speed, ours and the platforms', and the breaker.

use super::{CUSTOMER, number, world};
use serde_json::{Value, json};
use switchboard_testkit::until;

/// When the platform got these requests, in milliseconds since the first of them.
fn times(requests: &[Value]) -> Vec<i64> {
    let at: Vec<i64> = requests
        .iter()
        .map(|r| number(r, "received_at_ms"))
        .collect();
    at.iter().map(|t| t - at[0]).collect()
}

#[tokio::test]
async fn the_rate_of_an_account_is_kept() {
    let keys = json!({"rate_per_second": 10, "rate_burst": 2});
    let world = world()
        .channel_with("sms", "twilio-sms", keys)
        .start()
        .await;
    let sms = world.emulator("sms");
    for n in 0..22 {
        world
            .text_later("sms", &format!("+12025550{:03}", 200 + n), "hello")
            .await;
    }
    let times = times(&sms.sends_when(22).await);
    // Two at once, then one every tenth of a second: twenty more take two seconds. Half a second less,
    // since the first of them may have been slow on its way.
    assert!(*times.last().unwrap() >= 1500, "{times:?}");
}

#[tokio::test]
async fn the_rate_of_a_recipient_is_kept_and_slows_no_other() {
    let keys = json!({"rate_per_recipient_per_second": 2, "recipient_burst": 1});
    let world = world().channel_with("bot", "telegram", keys).start().await;
    let bot = world.emulator("bot");
    bot.say_as("201", "hi").await;
    bot.say_as("202", "hi").await;
    for n in 0..5 {
        world.text_later("bot", "201", &format!("crowd {n}")).await;
    }
    let alone = world
        .text("bot", "202", "alone", json!({}))
        .await
        .expect(200);
    assert_eq!(alone.word("status"), "sent");
    assert!(bot.texts_to("201").await.len() < 5, "the crowd went before");
    let sends = bot.sends_when(6).await;
    let crowd: Vec<Value> = sends
        .into_iter()
        .filter(|r| r["body"].to_string().contains("crowd"))
        .collect();
    let times = times(&crowd);
    // One at once, four more at half a second each.
    assert!(times[4] >= 1500, "{times:?}");
    assert_eq!(
        bot.texts_to("201").await,
        (0..5).map(|n| format!("crowd {n}")).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_platforms_429_is_obeyed_and_is_no_failure() {
    // One failure would rest the lane for long, and a second one make the message a dead letter.
    let world = world()
        .channel("bot", "telegram")
        .set("retry.breaker_failures", json!(1))
        .set("retry.breaker_rest_seconds", json!(600))
        .set("retry.stuck_after", json!(1))
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.say_as("201", "hi").await;
    bot.say_as("202", "hi").await;
    bot.fault(json!({
        "fault": "rate_limit", "retry_after": 1, "count": 2, "body_contains": "too fast",
    }))
    .await;
    let id = world.text_later("bot", "201", "too fast").await;
    bot.sends_when(1).await;
    // The person is limited, not the lane.
    world
        .text("bot", "202", "free", json!({}))
        .await
        .expect(200);
    world.message_when(&id, "sent").await;
    let sends = bot.sends().await;
    let tries: Vec<Value> = sends
        .into_iter()
        .filter(|r| r["body"].to_string().contains("too fast"))
        .collect();
    let times = times(&tries);
    assert_eq!(times.len(), 3, "{times:?}");
    assert!(times[1] >= 990 && times[2] - times[1] >= 990, "{times:?}");
    assert!(world.dead().await.is_empty());
    assert_eq!(
        world
            .metric("switchboard_retries_total{lane=\"bot\",class=\"limited\"}")
            .await,
        2.0
    );
    let attempts = world.message(&id).await["attempts"].clone();
    assert_eq!(attempts.as_array().map(Vec::len), Some(3), "{attempts}");
}

#[tokio::test]
async fn while_the_platform_is_down_the_lane_rests_and_then_drains_in_order() {
    const PEOPLE: usize = 3;
    let world = world()
        .channel("bot", "telegram")
        .set("retry.breaker_failures", json!(3))
        .set("retry.stuck_after", json!(2))
        .start()
        .await;
    let bot = world.emulator("bot");
    for person in 0..PEOPLE {
        bot.say_as(&format!("{}", 300 + person), "hi").await;
    }
    bot.fault(json!({"fault": "error", "status": 503, "count": 0, "path_contains": "/send"}))
        .await;
    for n in 0..4 {
        for person in 0..PEOPLE {
            world
                .text_later("bot", &format!("{}", 300 + person), &format!("text {n}"))
                .await;
        }
    }
    until("the lane to rest", || async {
        world.lane("bot").await["resting_until"]
            .is_string()
            .then_some(())
    })
    .await;
    // While it rests, a caller is not kept waiting.
    let told = world
        .text("bot", "300", "text 4", json!({"wait": 20}))
        .await;
    assert_eq!(
        (told.status, told.word("status")),
        (202, "queued".to_owned())
    );
    // It goes on resting, with one probe in between, for as long as the platform is down.
    let tries = bot.sends().await.len();
    until("two more probes", || async {
        (bot.sends().await.len() >= tries + 2).then_some(())
    })
    .await;
    assert!(bot.texts().await.is_empty());
    bot.mend().await;
    bot.texts_when(4 * PEOPLE + 1).await;
    world.quiet().await;
    // Nothing was stuck: the lane was broken, and that is no message's fault.
    assert!(world.dead().await.is_empty());
    for person in 0..PEOPLE {
        let expected: Vec<String> = (0..if person == 0 { 5 } else { 4 })
            .map(|n| format!("text {n}"))
            .collect();
        assert_eq!(bot.texts_to(&format!("{}", 300 + person)).await, expected);
    }
}

#[tokio::test]
async fn callers_beyond_their_rate_are_told_when_to_come_back() {
    let world = world()
        .channel("bot", "telegram")
        .set("api.rate_per_second", json!(2))
        .start()
        .await;
    let mut refused = None;
    for _ in 0..20 {
        let answer = world.api("get-bot-id", json!({})).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 200);
    }
    let refused = refused.expect("the limit is noticed");
    assert_eq!(refused.word("response"), "rate-limited");
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&after), "{after}");
    until("the rate to recover", || async {
        (world.api("get-bot-id", json!({})).await.status == 200).then_some(())
    })
    .await;
    world.emulator("bot").say("unhindered").await;
    world.backend().wait("new-messages", 1).await;
    assert_eq!(world.emulator("bot").phone().await[0]["customer"], CUSTOMER);
}

#[tokio::test]
async fn a_429_for_the_account_rests_the_whole_lane() {
    let world = world().channel("sms", "twilio-sms").start().await;
    let sms = world.emulator("sms");
    sms.fault(json!({"fault": "rate_limit", "retry_after": 2, "path_contains": "Messages.json"}))
        .await;
    let first = world.text_later("sms", "+12025550201", "first").await;
    sms.sends_when(1).await;
    let second = world.text_later("sms", "+12025550202", "second").await;
    world.message_when(&first, "delivered").await;
    world.message_when(&second, "delivered").await;
    let times = times(&sms.sends().await);
    assert_eq!(times.len(), 3, "{times:?}");
    assert!(
        times[1] >= 1990,
        "nobody was sent anything meanwhile: {times:?}"
    );
    assert!(world.dead().await.is_empty());
}
