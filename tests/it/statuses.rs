//! Statuses: applied whenever they come, forward only, told once.

use super::{PHONE, word, world};
use serde_json::json;
use switchboard_testkit::{Answer, Emulator, World, sign, until};

/// The account and its token, as the sandbox has them.
fn account() -> (String, String) {
    let settings = (switchboard_channels::kind("twilio-sms")
        .unwrap()
        .sandbox_settings)();
    (
        word(&settings, "account_sid"),
        word(&settings, "auth_token"),
    )
}

/// Posts a status as Twilio would, without the reference of ours that its callbacks usually carry.
async fn post_status(world: &World, sid: &str, status: &str) -> Answer {
    let (account, token) = account();
    let form = [
        ("AccountSid", account.as_str()),
        ("ApiVersion", "2010-04-01"),
        ("From", "+15005550006"),
        ("MessageSid", sid),
        ("MessageStatus", status),
        ("SmsSid", sid),
        ("SmsStatus", status),
        ("To", PHONE),
    ];
    let url = format!("{}/webhooks/sms", world.root());
    let signature = sign::twilio(&token, &url, &form);
    let request = world
        .client()
        .post(&url)
        .header("x-twilio-signature", signature);
    world.send(request.form(&form)).await
}

/// The platform's id of the only message on the phones.
async fn sid(sms: &Emulator) -> String {
    until("a line on the phone", || async {
        sms.phone().await.first().map(|line| word(line, "id"))
    })
    .await
}

#[tokio::test]
async fn statuses_that_come_before_the_answer_to_the_send_are_applied() {
    let world = world().channel("sms", "twilio-sms").start().await;
    let sms = world.emulator("sms");
    // The platform's own callbacks come long before its answer does.
    sms.fault(json!({"fault": "delay", "ms": 1000, "count": 1, "path_contains": "Messages.json"}))
        .await;
    let id = world.text_later("sms", PHONE, "quick").await;
    world.message_when(&id, "delivered").await;
    world.quiet().await;
    let told = world.backend().statuses(&id);
    assert_eq!(
        told.last().map(String::as_str),
        Some("delivered"),
        "{told:?}"
    );
    assert_eq!(
        told.iter().filter(|s| *s == "delivered").count(),
        1,
        "{told:?}"
    );
    assert_eq!(sms.sends().await.len(), 1);
}

#[tokio::test]
async fn a_status_of_an_id_that_is_not_known_yet_is_kept_and_applied_then() {
    // No callbacks of the platform's own: the link for them leads nowhere near this gateway.
    let world = world().channel("sms", "twilio-sms").start().await;
    let sms = world.emulator("sms");
    sms.fault(json!({"fault": "delay", "ms": 3000, "count": 1, "path_contains": "Messages.json"}))
        .await;
    let id = world.text_later("sms", PHONE, "quick").await;
    let sid = sid(&sms).await;
    assert_ne!(world.message(&id).await["status"], "sent");
    post_status(&world, &sid, "delivered").await.expect(204);
    world.message_when(&id, "delivered").await;
    world.quiet().await;
    assert_eq!(sms.sends().await.len(), 1);
    let told = world.backend().statuses(&id);
    assert_eq!(
        told.iter().filter(|s| *s == "delivered").count(),
        1,
        "{told:?}"
    );
}

#[tokio::test]
async fn statuses_only_move_forward_and_a_repeated_one_tells_nothing() {
    let world = world().channel("sms", "twilio-sms").start().await;
    let sms = world.emulator("sms");
    let id = world.text_later("sms", PHONE, "hello").await;
    world.message_when(&id, "delivered").await;
    world.quiet().await;
    let told = world.backend().statuses(&id);
    let sid = sid(&sms).await;
    for late in [
        "sent",
        "delivered",
        "queued",
        "sent",
        "delivered",
        "delivered",
    ] {
        post_status(&world, &sid, late).await.expect(204);
    }
    world.quiet().await;
    assert_eq!(world.message(&id).await["status"], "delivered");
    assert_eq!(world.backend().statuses(&id), told);
}

#[tokio::test]
async fn a_status_of_a_message_that_is_not_ours_is_acknowledged_and_changes_nothing() {
    let world = world().channel("sms", "twilio-sms").start().await;
    let stranger = "SM00000000000000000000000000000000";
    post_status(&world, stranger, "delivered").await.expect(204);
    world.quiet().await;
    assert!(world.backend().events().is_empty());
}

#[tokio::test]
async fn a_message_that_failed_after_it_was_sent_is_told_with_the_platforms_words() {
    let world = world().channel("sms", "twilio-sms").start().await;
    let sms = world.emulator("sms");
    // The platform's own callbacks must not come: they are forgotten before they are posted. Now and
    // then one is quicker, and then another message is tried.
    let (id, sid) = until("a message whose callbacks were forgotten", || async {
        let answer = world
            .text("sms", PHONE, "hello", json!({}))
            .await
            .expect(200);
        sms.reset().await;
        world.quiet().await;
        let id = answer.word("message_id");
        let known = world.message(&id).await;
        let sid = known["parts"][0]["platform_ids"][0]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (known["status"] == "sent").then_some((id, sid))
    })
    .await;
    let (account, token) = account();
    let form = [
        ("AccountSid", account.as_str()),
        ("ErrorCode", "30003"),
        ("From", "+15005550006"),
        ("MessageSid", sid.as_str()),
        ("MessageStatus", "undelivered"),
        ("To", PHONE),
    ];
    let url = format!("{}/webhooks/sms", world.root());
    let signature = sign::twilio(&token, &url, &form);
    let request = world
        .client()
        .post(&url)
        .header("x-twilio-signature", signature);
    world.send(request.form(&form)).await.expect(204);
    world.backend().wait_status(&id, "failed").await;
    let told = world.backend().about(&id);
    let failed = told.last().unwrap();
    assert_eq!(failed.data["error"]["code"], "30003", "{}", failed.data);
    assert_eq!(
        failed.data["error"]["class"], "recipient",
        "{}",
        failed.data
    );
    assert_eq!(world.message(&id).await["status"], "failed");
    assert_eq!(world.dead().await.len(), 1);
    // A `sent` that comes late does not undo it.
    post_status(&world, &sid, "sent").await.expect(204);
    world.quiet().await;
    assert_eq!(world.message(&id).await["status"], "failed");
    assert_eq!(world.backend().about(&id).len(), told.len());
}
