//! Sending and receiving, on every kind that is built in.

use crate::{CUSTOMER, world};
use serde_json::{Value, json};
use switchboard_channels::kit::settings::Common;
use switchboard_channels::model::{Capabilities, Support};
use switchboard_channels::{KINDS, Kind};
use switchboard_testkit::{Delivery, Emulator, World, until};

/// A world with one channel of every kind; the channel's id is the kind's name.
async fn every_kind() -> World {
    let setup = KINDS
        .iter()
        .fold(world(), |w, kind| w.channel(kind.name, kind.name));
    setup.start().await
}

/// What a kind says that it can do.
fn capabilities(kind: &Kind) -> Capabilities {
    let common = Common {
        id: kind.name.to_owned(),
        api_base: None,
        webhook_url: format!("https://gw.example.net/webhooks/{}", kind.name),
    };
    let channel = (kind.build)(&common, (kind.sandbox_settings)());
    channel
        .unwrap_or_else(|e| panic!("{}: {e}", kind.name))
        .capabilities()
        .clone()
}

/// The customer writes; gives the `message-sent` event of it.
async fn said(world: &World, emulator: &Emulator, action: Value) -> Delivery {
    let before = world.backend().named("new-messages").len();
    emulator.act(action).await;
    world.backend().wait("new-messages", before + 1).await;
    let sent = world.backend().named("message-sent");
    sent.last().expect("an event").clone()
}

/// The conversation of the emulator's own customer.
async fn begin(world: &World, emulator: &Emulator) -> String {
    let event = said(world, emulator, json!({"do": "say", "text": "hi"})).await;
    event.word("conversation_id")
}

async fn reply(world: &World, conversation: &str, more: Value) -> switchboard_testkit::Answer {
    let mut arguments = more;
    arguments["conversation_id"] = json!(conversation);
    world
        .api("messaging-platforms-send-message", arguments)
        .await
}

#[tokio::test]
async fn texts_go_both_ways_on_every_kind_and_are_told_in_the_contracts_order() {
    let world = every_kind().await;
    for kind in KINDS {
        let emulator = world.emulator(kind.name);
        let seen = world.backend().events().len();
        // A profile that was fetched meanwhile is told in between, in no order with these.
        let told = |from: usize| {
            let events = world.backend().events().into_iter().skip(from);
            events
                .filter(|e| e.name != "user-updated")
                .collect::<Vec<_>>()
        };
        emulator.say("Grüße 👍🏽 & <b>more</b>").await;
        world.quiet().await;
        let events = told(seen);
        let names: Vec<&str> = events.iter().map(|e| e.name.as_str()).collect();
        let expected = ["new-conversation-created", "message-sent", "new-messages"];
        assert_eq!(names, expected, "{}", kind.name);
        let came = &events[1];
        assert_eq!(
            came.word("message"),
            "Grüße 👍🏽 & <b>more</b>",
            "{}",
            kind.name
        );
        assert!(
            kind.sources
                .contains(&came.word("conversation_source").as_str())
        );
        let conversation = came.word("conversation_id");
        assert_eq!(
            events[2].data["messages"][0]["details"]["message"],
            came.data["message"]
        );

        // A second message is no new conversation.
        let seen = world.backend().events().len();
        let again = said(&world, &emulator, json!({"do": "say", "text": "again"})).await;
        assert_eq!(again.word("conversation_id"), conversation, "{}", kind.name);
        world.quiet().await;
        let names: Vec<String> = told(seen).into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["message-sent", "new-messages"], "{}", kind.name);

        // And the answer.
        let seen = world.backend().events().len();
        let sent = reply(&world, &conversation, json!({"message": "Guten Tag"}))
            .await
            .expect(200);
        assert_eq!(sent.word("conversation_id"), conversation, "{}", kind.name);
        assert_eq!(emulator.texts().await, ["Guten Tag"], "{}", kind.name);
        world.quiet().await;
        let id = sent.word("message_id");
        let about: Vec<Delivery> = told(seen)
            .into_iter()
            .filter(|e| e.word("message_id") == id)
            .collect();
        assert_eq!(about[0].name, "message-sent", "{}", kind.name);
        assert_eq!(about[1].name, "message-status-updated", "{}", kind.name);
        assert!(
            about[1..]
                .iter()
                .all(|e| e.name == "message-status-updated")
        );
        assert_eq!(about[1].data["parts"], 1, "{}", kind.name);
        assert_eq!(about[1].data["parts_sent"], 1, "{}", kind.name);
        let ids: Vec<Value> = about[1].data["platform_ids"].as_array().unwrap().clone();
        let phone = emulator.phone().await;
        let line = phone
            .iter()
            .find(|l| l["from_gateway"] == json!(true))
            .unwrap();
        // WeChat names no ids of what it takes; ours stand in for them.
        assert_eq!(
            ids.contains(&line["id"]),
            kind.name != "wechat",
            "{}: {ids:?}",
            kind.name
        );
    }
}

#[tokio::test]
async fn statuses_come_as_far_as_the_platform_has_them() {
    let world = every_kind().await;
    // WeChat reports on templates alone.
    for kind in KINDS.iter().filter(|k| k.name != "wechat") {
        let emulator = world.emulator(kind.name);
        let promised = capabilities(kind).statuses;
        let conversation = begin(&world, &emulator).await;
        let sent = reply(&world, &conversation, json!({"message": "read me"}))
            .await
            .expect(200);
        let id = sent.word("message_id");
        world.backend().wait_status(&id, "sent").await;
        let mut furthest = "sent";
        if promised.contains(&"delivered") {
            furthest = "delivered";
            world.quiet().await;
        }
        if promised.contains(&"read") {
            furthest = "read";
            emulator.act(json!({"do": "read"})).await;
        }
        world.message_when(&id, furthest).await;
        world.quiet().await;
        let told = world.backend().statuses(&id);
        assert_eq!(
            told.last().map(String::as_str),
            Some(furthest),
            "{}: {told:?}",
            kind.name
        );
        let order = ["sent", "delivered", "read"];
        let places: Vec<_> = told
            .iter()
            .map(|s| order.iter().position(|o| o == s).expect("a step"))
            .collect();
        assert!(places.is_sorted_by(|a, b| a < b), "{}: {told:?}", kind.name);
    }
}

#[tokio::test]
async fn a_customers_file_is_fetched_and_its_signed_link_serves_the_bytes() {
    let world = every_kind().await;
    for kind in KINDS {
        let emulator = world.emulator(kind.name);
        let file = json!({"name": "dent.jpg", "mime": "image/jpeg", "content": "not a picture"});
        let action = json!({"do": "say", "text": "look", "attachment": file});
        let seen = world.backend().events().len();
        emulator.act(action).await;
        // Some platforms bring words and file in one message, others in two.
        let files = |e: &Delivery| {
            e.data["attachments"]
                .as_array()
                .cloned()
                .unwrap_or_default()
        };
        let attachments = until(&format!("the message of {}", kind.name), || async {
            let events: Vec<Delivery> = world.backend().events().into_iter().skip(seen).collect();
            let sent = || events.iter().filter(|e| e.name == "message-sent");
            let words = sent().any(|e| e.word("message") == "look");
            sent().map(files).find(|f| words && !f.is_empty())
        })
        .await;
        assert_eq!(attachments.len(), 1, "{}: {attachments:?}", kind.name);
        let link = attachments[0][1].as_str().unwrap().to_owned();
        assert!(
            link.starts_with(&format!("{}/media/", world.root())),
            "{link}"
        );
        // The event may be quicker than the fetch; then the link says so.
        let served = until(&format!("the file of {}", kind.name), || async {
            let answer = world.send(world.client().get(&link)).await;
            if answer.status == 503 {
                assert!(answer.header("retry-after").is_some(), "{}", answer.text());
                return None;
            }
            Some(answer)
        })
        .await
        .expect(200);
        assert_eq!(served.bytes, b"not a picture", "{}", kind.name);
        let disposition = served.header("content-disposition").unwrap_or_default();
        assert!(
            disposition.starts_with("attachment"),
            "{}: {disposition}",
            kind.name
        );
        assert_eq!(served.header("x-content-type-options"), Some("nosniff"));

        // Nobody is told where the platform keeps it: such links open doors.
        for told in world.backend().deliveries() {
            let told = told.data.to_string();
            let theirs = told.contains("/files/") || told.contains("/file/bot");
            assert!(
                !theirs && !world.tells_a_secret(&told),
                "{}: {told}",
                kind.name
            );
        }

        for wrong in tampered(&link) {
            let answer = world.send(world.client().get(&wrong)).await;
            assert_eq!(answer.status, 404, "{wrong}: {}", answer.text());
            assert!(!answer.text().contains("not a picture"), "{wrong}");
        }
    }
}

/// The link with another key, another time, another signature, and without one.
fn tampered(link: &str) -> Vec<String> {
    let (stem, extension) = link.rsplit_once('.').unwrap();
    let (root, fields) = stem.rsplit_once('/').unwrap();
    let fields: Vec<&str> = fields.split('-').collect();
    let [key, expires, signature] = fields[..] else {
        panic!("not key, time and signature: {link}")
    };
    let flipped = |text: &str| {
        let (head, last) = text.split_at(text.len() - 1);
        format!("{head}{}", if last == "0" { "1" } else { "0" })
    };
    let later = (expires.parse::<i64>().unwrap() + 1).to_string();
    vec![
        format!("{root}/{}-{expires}-{signature}.{extension}", flipped(key)),
        format!("{root}/{key}-{later}-{signature}.{extension}"),
        format!("{root}/{key}-{expires}-{}.{extension}", flipped(signature)),
        format!("{root}/{key}-{expires}-.{extension}"),
        format!("{root}/{key}.{extension}"),
    ]
}

#[tokio::test]
async fn an_agents_file_arrives_on_every_kind_that_carries_files() {
    let world = every_kind().await;
    for kind in KINDS.iter().filter(|k| !capabilities(k).media.is_empty()) {
        let emulator = world.emulator(kind.name);
        let conversation = begin(&world, &emulator).await;
        let link = world.backend().file("invoice.jpg");
        let sent = reply(
            &world,
            &conversation,
            json!({"message": "your invoice", "attachments": [["invoice.jpg", link]]}),
        )
        .await
        .expect(200);
        let phone = emulator.phone().await;
        let ours: Vec<&Value> = phone
            .iter()
            .filter(|l| l["from_gateway"] == json!(true))
            .collect();
        let texts: Vec<&str> = ours.iter().filter_map(|l| l["text"].as_str()).collect();
        let said = |what: &str| texts.iter().any(|t| t.contains(what));
        assert!(said("your invoice"), "{}: {phone:?}", kind.name);
        let extras: Vec<&Value> = ours
            .iter()
            .flat_map(|l| l["extras"].as_array().unwrap())
            .collect();
        // Platforms that take https links alone get this one in words.
        let shown = if said(&link) { 0 } else { 1 };
        assert_eq!(extras.len(), shown, "{}: {phone:?}", kind.name);
        world.quiet().await;
        let event = world.backend().about(&sent.word("message_id"));
        assert_eq!(
            event[0].data["attachments"],
            json!([["invoice.jpg", link]]),
            "{}",
            kind.name
        );
    }
}

#[tokio::test]
async fn pressed_buttons_come_back_as_messages_with_their_payload() {
    let world = every_kind().await;
    let with_buttons = |k: &&Kind| capabilities(k).choices == Support::Native;
    let mut tried = 0;
    for kind in KINDS.iter().filter(with_buttons) {
        let emulator = world.emulator(kind.name);
        let conversation = begin(&world, &emulator).await;
        let replies = json!([
            {"title": "Yes", "payload": "answer-yes"}, {"title": "No", "payload": "answer-no"},
        ]);
        let arguments = json!({"message": "Shall we?", "quick_replies": replies});
        reply(&world, &conversation, arguments).await.expect(200);
        let event = said(&world, &emulator, json!({"do": "press", "button": "Yes"})).await;
        assert_eq!(event.word("message"), "Yes", "{}", kind.name);
        let news = world.backend().named("new-messages");
        let details = news.last().unwrap().data["messages"][0]["details"].clone();
        assert!(
            details["payload"].to_string().contains("answer-yes"),
            "{}: {details}",
            kind.name
        );
        tried += 1;
    }
    assert!(tried > 0, "no kind has buttons");
}

#[tokio::test]
async fn a_pressed_telegram_button_stops_spinning() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    let conversation = begin(&world, &bot).await;
    let arguments = json!({"message": "Shall we?", "quick_replies": ["Yes", "No"]});
    reply(&world, &conversation, arguments).await.expect(200);
    bot.act(json!({"do": "press", "button": "No"})).await;
    until("the callback to be answered", || async {
        let requests = bot.requests().await;
        let answered = |r: &Value| {
            let path = r["path"].as_str().unwrap_or_default().to_lowercase();
            path.ends_with("/answercallbackquery") && r["status"] == 200
        };
        requests.iter().any(answered).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_sms_is_told_as_sms_sent_with_the_providers_answer() {
    let world = world().channel("sms", "twilio-sms").start().await;
    let fields = [
        ("to", crate::PHONE),
        ("message", "your code is 4711"),
        ("template", "false"),
    ];
    let sent = world.form("send-sms", &fields).await.expect(200);
    let event = world.backend().wait("sms-sent", 1).await[0].clone();
    assert_eq!(event.word("Body"), "your code is 4711");
    assert_eq!(event.word("To"), crate::PHONE);
    assert_eq!(&event.data["response"], sent.response());
    assert!(
        sent.response()["sid"]
            .as_str()
            .is_some_and(|sid| sid.starts_with("SM"))
    );
    world.quiet().await;
    assert_eq!(world.backend().named("sms-sent").len(), 1);
}

#[tokio::test]
async fn forms_and_json_are_the_same_call() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    let link = world.backend().file("a.pdf");
    let fields = [
        ("chat_id", CUSTOMER),
        ("message", "from a form"),
        ("attachments[0][0]", "a.pdf"),
        ("attachments[0][1]", link.as_str()),
    ];
    world
        .form("telegram-send-message", &fields)
        .await
        .expect(200);
    let arguments = json!({
        "chat_id": 5_550_001_001_i64, "message": "from JSON", "attachments": [["a.pdf", link]],
    });
    world
        .api("telegram-send-message", arguments)
        .await
        .expect(200);
    let phone = bot.phone().await;
    let ours: Vec<&Value> = phone
        .iter()
        .filter(|l| l["from_gateway"] == json!(true))
        .collect();
    assert_eq!(ours.len(), 2, "{ours:?}");
    assert_eq!(ours[0]["extras"], ours[1]["extras"]);
    assert_eq!(
        [&ours[0]["text"], &ours[1]["text"]],
        ["from a form", "from JSON"]
    );
}
