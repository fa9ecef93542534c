//! The first start, and starts that cannot be.

use crate::{CUSTOMER, world};
use serde_json::{Value, json};
use switchboard_channels::KINDS;
use switchboard_testkit::until;

#[tokio::test]
async fn a_newcomer_starts_it_in_an_empty_folder_and_can_send_and_receive() {
    let world = world().bare().start().await;
    let token = world.token();
    // It answers a moment before it has said so.
    until("the token to be shown", || async {
        world.log().iter().any(|l| l.contains(&token)).then_some(())
    })
    .await;
    let file = std::fs::metadata(world.folder().join("data/api-token")).unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&file.permissions()) & 0o077,
        0
    );
    for kind in KINDS {
        let id = format!("sandbox-{}", kind.name);
        let emulator = world.emulator(&id);
        emulator.say("hello").await;
        let customer = emulator.phone().await[0]["customer"]
            .as_str()
            .unwrap()
            .to_owned();
        let listed = world.api("get-conversations", json!({})).await.expect(200);
        assert!(
            listed.response().to_string().contains("hello"),
            "{}",
            kind.name
        );
        let sent = world
            .run(&[
                "send",
                "--channel",
                &id,
                "--to",
                &customer,
                "--text",
                "good day",
            ])
            .await;
        assert_eq!(sent.code, Some(0), "{}: {sent:?}", kind.name);
        assert_eq!(emulator.texts().await, ["good day"], "{}", kind.name);
    }
    // The same token after a restart.
    world.signal("INT");
    assert_eq!(world.wait_end().code(), Some(0));
    world.restart().await;
    assert_eq!(world.token(), token);
    world.api("get-bot-id", json!({})).await.expect(200);
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_code_2_and_one_message() {
    let world = world().channel("bot", "telegram").start().await;
    let broken = world.folder().join("broken.toml");
    for (toml, words) in [
        (
            "[server]\nlisten = \"nowhere\"",
            &["server.listen", "nowhere"][..],
        ),
        ("[server]\nlistne = \"127.0.0.1:1\"", &["listne", "listen"]),
        (
            "[[channels]]\nid = \"x\"\nkind = \"pigeon\"",
            &["pigeon", "telegram"],
        ),
        (
            "[[channels]]\nid = \"x\"\nkind = \"telegram\"\nbot_token = \"1:secret-secret\"",
            &["webhook_secret"],
        ),
        ("not toml at all", &["broken.toml"]),
    ] {
        std::fs::write(&broken, toml).unwrap();
        for command in ["serve", "check"] {
            // The later `--config` is the one that counts for a command.
            let exit = world
                .run(&[command, "--config", broken.to_str().unwrap()])
                .await;
            assert_eq!(exit.code, Some(2), "{toml}: {exit:?}");
            for word in words {
                assert!(exit.stderr.contains(word), "{toml}: {exit:?}");
            }
            assert!(!exit.stderr.contains("secret-secret"), "{exit:?}");
            assert!(!exit.stderr.contains("panicked"), "{exit:?}");
        }
    }
}

#[tokio::test]
async fn check_asks_the_platforms_and_says_what_does_not_work() {
    let world = world()
        .channel("good", "telegram")
        .channel_with("bad", "telegram", json!({"api_base": "http://127.0.0.1:9"}))
        .emulators_apart()
        .start()
        .await;
    // It opens the store, which is one process's alone.
    world.signal("TERM");
    world.wait_end();
    let exit = world.run(&["check"]).await;
    assert_eq!(exit.code, Some(1), "{exit:?}");
    let about = |what: &str| {
        let line = exit.stdout.lines().find(|l| l.contains(what));
        line.unwrap_or_else(|| panic!("nothing about {what}: {exit:?}"))
            .to_owned()
    };
    assert!(about("good").contains("sandbox_bot"), "{exit:?}");
    assert!(!about("bad").contains("works"), "{exit:?}");
    assert!(about("store").contains("answers"), "{exit:?}");
    let offline = world.run(&["check", "--offline"]).await;
    assert_eq!(offline.code, Some(0), "{offline:?}");
    world.emulator("good").fault(json!({
        "fault": "error", "status": 401, "count": 0,
        "body": json!({"ok": false, "error_code": 401, "description": "Unauthorized"}).to_string(),
    }))
    .await;
    let revoked = world.run(&["check"]).await;
    let good = revoked
        .stdout
        .lines()
        .find(|l| l.contains("good"))
        .unwrap_or_default();
    assert!(good.contains("Unauthorized"), "{revoked:?}");
    assert!(!world.tells_a_secret(&revoked.stdout), "{revoked:?}");
}

#[tokio::test]
async fn what_the_platform_posts_while_the_gateway_is_down_arrives_when_it_is_back() {
    let world = world()
        .channel("bot", "telegram")
        .emulators_apart()
        .start()
        .await;
    let bot = world.emulator("bot");
    world.kill();
    let action = json!({"do": "say", "text": "anybody home?"});
    let posting = tokio::spawn({
        let bot = bot.clone();
        async move { bot.try_act(action).await }
    });
    until("the customer to have written", || async {
        (!bot.phone().await.is_empty()).then_some(())
    })
    .await;
    world.restart().await;
    let posted = posting.await.unwrap().expect(200);
    let posted: &Vec<Value> = posted.json["posted"].as_array().unwrap();
    assert_eq!(posted[0]["status"], 200, "{posted:?}");
    world.backend().wait("new-messages", 1).await;
    world.quiet().await;
    assert_eq!(world.backend().named("message-sent").len(), 1);
}

#[tokio::test]
async fn when_its_port_is_taken_it_is_refused_before_anything_is_sent() {
    let keys = json!({"max_in_flight": 1});
    let world = world()
        .channel_with("bot", "telegram", keys)
        .emulators_apart()
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.say_as("102", "hi").await;
    bot.fault(json!({"fault": "hang", "seconds": 60, "path_contains": "/send"}))
        .await;
    world.text_later("bot", CUSTOMER, "hangs").await;
    bot.sends_when(1).await;
    // It waits for the only slot.
    let waiting = world.text_later("bot", "102", "waits").await;
    world.kill();
    bot.mend().await;
    // Too slow to be over when the process ends: begun and cut off, it would be in doubt.
    bot.fault(json!({"fault": "delay", "ms": 3000, "path_contains": "/send"}))
        .await;
    let address = world.root().replace("http://", "");
    let squatter = std::net::TcpListener::bind(address).unwrap();
    let refused = world.run(&["serve"]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("server.listen"), "{refused:?}");
    assert_eq!(bot.sends().await.len(), 1, "something was begun");
    drop(squatter);
    bot.mend().await;
    world.restart().await;
    world.message_when(&waiting, "sent").await;
    assert_eq!(bot.texts_to("102").await, ["waits"]);
}
