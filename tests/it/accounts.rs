//! Several accounts of one kind behind one URL.

use crate::{word, world};
use serde_json::{Value, json};
use switchboard_testkit::{Answer, World, sign};

/// Two WhatsApp numbers, the second one with this app secret.
async fn two_numbers(second_secret: &str) -> World {
    let first = json!({"phone_number_id": "1001", "app_secret": "the-secret-of-the-first-app"});
    let second = json!({"phone_number_id": "1002", "app_secret": second_secret});
    let setup = world()
        .channel_with("first", "whatsapp", first)
        .channel_with("second", "whatsapp", second);
    setup.start().await
}

/// A message to this number, posted to the first channel's URL and signed by the first one's app.
async fn post_to_first(world: &World, phone_number_id: &str) -> Answer {
    let metadata = json!({"display_phone_number": "15550001", "phone_number_id": phone_number_id});
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "77", "changes": [{
        "field": "messages",
        "value": {
            "messaging_product": "whatsapp",
            "metadata": metadata,
            "contacts": [{"profile": {"name": "Robin"}, "wa_id": "12025550142"}],
            "messages": [{
                "from": "12025550142", "id": "wamid.HBgLMTIwMjU1NTAxNDI", "timestamp": "1760000000",
                "type": "text", "text": {"body": "to one of you"},
            }],
        },
    }]}]})
    .to_string();
    let signature = sign::meta("the-secret-of-the-first-app", &body);
    let request = world
        .client()
        .post(format!("{}/webhooks/first", world.root()))
        .header("x-hub-signature-256", signature)
        .header("content-type", "application/json")
        .body(body);
    world.send(request).await
}

/// The channel that a conversation is on, by what a reply to it goes out through.
async fn replies_over(world: &World, conversation: &str) -> Vec<(String, Value)> {
    let arguments = json!({"conversation_id": conversation, "message": "got it"});
    world
        .api("messaging-platforms-send-message", arguments)
        .await;
    let mut over = Vec::new();
    for channel in ["first", "second"] {
        for send in world.emulator(channel).sends().await {
            over.push((channel.to_owned(), send));
        }
    }
    over
}

#[tokio::test]
async fn numbers_of_one_app_share_a_url_and_are_told_apart_by_the_account() {
    let world = two_numbers("the-secret-of-the-first-app").await;
    post_to_first(&world, "1002").await.expect(200);
    world.backend().wait("new-messages", 1).await;
    let told = &world.backend().named("message-sent")[0];
    assert_eq!(told.word("message"), "to one of you");
    let over = replies_over(&world, &told.word("conversation_id")).await;
    assert_eq!(over.len(), 1, "{over:?}");
    assert_eq!(over[0].0, "second");
    assert!(word(&over[0].1, "path").contains("/1002/"), "{over:?}");
}

#[tokio::test]
async fn a_number_of_another_app_is_not_reached_by_a_secret_that_it_does_not_hold() {
    let world = two_numbers("the-secret-of-another-app").await;
    // Properly signed, so it is acknowledged; but it is for nobody whom this app may speak for.
    post_to_first(&world, "1002").await.expect(200);
    world.quiet().await;
    assert!(world.backend().events().is_empty());
    let unknown = "switchboard_inbound_events_total{channel=\"first\",event=\"unknown\"}";
    assert_eq!(world.metric(unknown).await, 1.0);
    // Its own number still is reached.
    let mine = post_to_first(&world, "1001").await;
    assert_eq!(mine.status, 200);
    world.quiet().await;
}

/// A message to an account of Meta's, posted to the first page's URL and signed by the app that both
/// pages share.
async fn post_to_first_page(world: &World, object: &str, entry: &str, mid: &str) -> Answer {
    let body = json!({"object": object, "entry": [{"id": entry, "time": 1_760_000_000_000_i64,
        "messaging": [{
            "sender": {"id": "7711223344"}, "recipient": {"id": entry},
            "timestamp": 1_760_000_000_000_i64, "message": {"mid": mid, "text": mid},
        }],
    }]})
    .to_string();
    let signature = sign::meta("the-secret-of-the-shared-app", &body);
    let request = world
        .client()
        .post(format!("{}/webhooks/first", world.root()))
        .header("x-hub-signature-256", signature)
        .header("content-type", "application/json")
        .body(body);
    world.send(request).await
}

#[tokio::test]
async fn a_page_and_its_instagram_account_are_one_channel_also_behind_anothers_url() {
    let page = |page: &str, instagram: &str| {
        json!({"page_id": page, "instagram_id": instagram,
            "app_secret": "the-secret-of-the-shared-app"})
    };
    let world = world()
        .channel_with("first", "messenger", page("1001", "17841001"))
        .channel_with("second", "messenger", page("1002", "17841002"))
        .start()
        .await;
    for (n, (object, entry, channel, source)) in [
        ("instagram", "17841002", "second", "ig"),
        ("page", "1002", "second", "fb"),
        ("instagram", "17841001", "first", "ig"),
        ("page", "1001", "first", "fb"),
    ]
    .into_iter()
    .enumerate()
    {
        let mid = format!("m_{entry}");
        post_to_first_page(&world, object, entry, &mid)
            .await
            .expect(200);
        world.backend().wait("new-messages", n + 1).await;
        let told = world.backend().named("message-sent");
        let told = told
            .iter()
            .find(|e| e.word("message") == mid)
            .expect("it is told");
        assert_eq!(told.word("conversation_source"), source, "{entry}");
        let conversation = told.word("conversation_id");
        let of_channel =
            format!("switchboard_inbound_events_total{{channel=\"{channel}\",event=\"message\"}}");
        assert!(world.metric(&of_channel).await >= 1.0, "{entry}");
        // The page is the same for both faces: that of the channel which owns them.
        let shown = world
            .api("get-conversation", json!({"conversation_id": conversation}))
            .await;
        let page = if channel == "first" { "1001" } else { "1002" };
        assert!(
            shown.text().contains(&format!("\"{page}\"")),
            "{}",
            shown.text()
        );
    }
    // Redelivered, nothing comes of it; for an account of nobody's it is kept.
    post_to_first_page(&world, "instagram", "17841002", "m_17841002")
        .await
        .expect(200);
    post_to_first_page(&world, "instagram", "17849999", "m_17849999")
        .await
        .expect(200);
    world.quiet().await;
    assert_eq!(world.backend().named("new-messages").len(), 4);
    let unknown = "switchboard_inbound_events_total{channel=\"first\",event=\"unknown\"}";
    assert_eq!(world.metric(unknown).await, 1.0);
}

#[tokio::test]
async fn two_bots_have_their_own_conversations_with_one_person() {
    let world = world()
        .channel("one", "telegram")
        .channel_with(
            "two",
            "telegram",
            json!({"bot_token": "7000000002:another-bots-token-of-the-test-kit-1"}),
        )
        .start()
        .await;
    world.emulator("one").say("hi, one").await;
    world.emulator("two").say("hi, two").await;
    world.backend().wait("new-messages", 2).await;
    let told = world.backend().named("message-sent");
    assert_ne!(
        told[0].word("conversation_id"),
        told[1].word("conversation_id")
    );
    assert_eq!(
        told[0].word("user_id"),
        told[1].word("user_id"),
        "a person is one user to both"
    );
    for (event, channel) in [(0, "one"), (1, "two")] {
        let at = told
            .iter()
            .find(|e| e.word("message") == format!("hi, {channel}"))
            .unwrap();
        let arguments = json!({"conversation_id": at.word("conversation_id"), "message": channel});
        world
            .api("messaging-platforms-send-message", arguments)
            .await
            .expect(200);
        assert_eq!(world.emulator(channel).texts().await, [channel], "{event}");
    }
    // Which bot is meant must be said where it is not clear.
    let unclear = json!({"chat_id": crate::CUSTOMER, "message": "from whom?"});
    world
        .api("telegram-send-message", unclear)
        .await
        .expect(400);
}
