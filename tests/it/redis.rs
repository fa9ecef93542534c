//! A Redis that is down, emptied, frozen or cut off: nothing is lost and nothing comes twice, because it
//! holds a schedule and no message.

use crate::{CUSTOMER, world};
use serde_json::json;
use std::time::Duration;
use switchboard_testkit::servers::{Proxy, RedisServer, Way};
use switchboard_testkit::{Emulator, World, until, until_within};

/// After Redis was emptied a conversation that was being sent to goes on after two leases, of five
/// seconds here; and that may happen to it more than once.
const REBUILT: Duration = Duration::from_secs(90);

async fn on(url: &str) -> World {
    let world = world().channel("bot", "telegram").emulators_apart();
    world.redis_at(url).start().await
}

async fn is_ready(world: &World, status: u16) -> serde_json::Value {
    until(&format!("readyz {status}"), || async {
        Some(world.get("/readyz").await).filter(|a| a.status == status)
    })
    .await
    .json
}

/// Sends texts to several people, and does something in between; gives how many each gets.
async fn in_full_traffic(world: &World, bot: &Emulator, fault: impl AsyncFn(usize)) {
    const PEOPLE: usize = 6;
    const EACH: usize = 8;
    let person = |n: usize| format!("{}", 6000 + n);
    for n in 0..PEOPLE {
        bot.say_as(&person(n), "hi").await;
    }
    bot.fault(json!({"fault": "delay", "ms": 120, "count": 0, "path_contains": "sendMessage"}))
        .await;
    for n in 0..EACH {
        for to in 0..PEOPLE {
            world
                .text_later("bot", &person(to), &format!("text {n}"))
                .await;
        }
        fault(n).await;
    }
    let expected: Vec<String> = (0..EACH).map(|n| format!("text {n}")).collect();
    until_within(REBUILT, "every text on every phone", || async {
        for n in 0..PEOPLE {
            let texts = bot.texts_to(&person(n)).await;
            texts.contains(expected.last()?).then_some(())?;
        }
        Some(())
    })
    .await;
    // An emptied Redis looks quiet until the schedule is rebuilt, so what must come is awaited first.
    let told = "message-status-updated";
    world.backend().wait(told, PEOPLE * EACH).await;
    world.quiet().await;
    for n in 0..PEOPLE {
        assert_eq!(bot.texts_to(&person(n)).await, expected, "{}", person(n));
    }
    let told = world.backend().named(told);
    assert_eq!(told.len(), PEOPLE * EACH);
    assert!(told.iter().all(|e| e.word("status") == "sent"));
}

#[tokio::test]
async fn while_it_is_down_sends_are_queued_and_webhooks_are_taken() {
    let server = RedisServer::start();
    let world = on(&server.url()).await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    world
        .text("bot", CUSTOMER, "before", json!({}))
        .await
        .expect(200);
    world.quiet().await;
    server.kill();
    let ready = is_ready(&world, 503).await;
    assert_eq!(ready["queue"], "does not answer", "{ready}");
    assert_eq!(ready["store"], "ok", "{ready}");
    world.get("/healthz").await.expect(200);
    let texts: Vec<String> = (0..5).map(|n| format!("text {n}")).collect();
    for text in &texts {
        let answer = world.text("bot", CUSTOMER, text, json!({"wait": 20})).await;
        let answer = answer.expect(202);
        assert_eq!(answer.word("status"), "queued");
    }
    bot.say("still there?").await;
    assert_eq!(bot.texts().await, ["before"]);
    server.restart();
    is_ready(&world, 200).await;
    bot.texts_when(6).await;
    world.backend().wait("new-messages", 2).await;
    world.quiet().await;
    let mut expected = vec!["before".to_owned()];
    expected.extend(texts);
    assert_eq!(bot.texts().await, expected);
    world
        .text("bot", CUSTOMER, "after", json!({}))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_gateway_starts_without_it() {
    let server = RedisServer::start();
    let world = on(&server.url()).await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    world.quiet().await;
    world.kill();
    server.kill();
    world.restart_unready().await;
    let ready = is_ready(&world, 503).await;
    assert_eq!(ready["queue"], "does not answer", "{ready}");
    let answer = world
        .text("bot", CUSTOMER, "early", json!({}))
        .await
        .expect(202);
    server.restart();
    world.message_when(&answer.word("message_id"), "sent").await;
    assert_eq!(bot.texts().await, ["early"]);
}

#[tokio::test]
async fn emptied_in_full_traffic_it_loses_and_doubles_nothing() {
    let server = RedisServer::start();
    let world = on(&server.url()).await;
    let bot = world.emulator("bot");
    in_full_traffic(&world, &bot, async |n| {
        if n % 3 == 1 {
            server.flush();
        }
    })
    .await;
}

#[tokio::test]
async fn killed_in_full_traffic_it_loses_and_doubles_nothing() {
    let server = RedisServer::persistent();
    let world = on(&server.url()).await;
    let bot = world.emulator("bot");
    in_full_traffic(&world, &bot, async |n| {
        if n % 3 == 1 {
            server.kill();
            server.restart();
        }
    })
    .await;
}

#[tokio::test]
async fn cut_off_in_full_traffic_it_loses_and_doubles_nothing() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.address());
    let world = on(&server.url_at(proxy.address())).await;
    let bot = world.emulator("bot");
    in_full_traffic(&world, &bot, async |n| match n {
        0 => proxy.cut(),
        1 => proxy.stall(Way::Down),
        2 => proxy.pass(),
        3 => proxy.half_close(Way::Down),
        4 => proxy.refuse(),
        5 => proxy.pass(),
        6 => server.freeze(),
        _ => server.thaw(),
    })
    .await;
}

#[tokio::test]
async fn a_pause_outlives_an_emptied_redis_and_a_resume_too() {
    let server = RedisServer::start();
    let world = on(&server.url()).await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    world.quiet().await;
    world
        .post("/admin/lanes/bot/pause", json!({}))
        .await
        .expect(200);
    server.flush();
    until("the pause to be back", || async {
        let paused = server.command(&["HGET", "switchboard:q1:{bot}:state", "paused"]);
        (paused == "1").then_some(())
    })
    .await;
    let id = world.text_later("bot", CUSTOMER, "later").await;
    // Resumed while nobody can be told.
    server.kill();
    is_ready(&world, 503).await;
    world.announce_error("the lane is not resumed");
    world
        .post("/admin/lanes/bot/resume", json!({}))
        .await
        .expect(200);
    assert_eq!(bot.texts().await, [] as [&str; 0]);
    server.restart();
    world.message_when(&id, "sent").await;
    assert_eq!(bot.texts().await, ["later"]);
}

#[tokio::test]
async fn over_tls_messages_go_out_and_a_wrong_password_is_said_to_be_one() {
    let server = RedisServer::with_tls("s3cret-of-redis");
    let world = on(&server.tls_url()).await;
    world.emulator("bot").say("hi").await;
    let sent = world.text("bot", CUSTOMER, "hello", json!({})).await;
    assert_eq!(sent.expect(200).word("status"), "sent");
    let check = world.run(&["check", "--offline"]).await;
    assert_eq!(check.code, Some(0), "{check:?}");
    let wrong = server
        .tls_url()
        .replace("s3cret-of-redis", "wr0ng-of-redis");
    let untrusted = server.tls_url().split('?').next().unwrap().to_owned();
    for (url, why) in [
        (&wrong, "password authentication failed"),
        (&untrusted, "certificate"),
    ] {
        let environment = [("SWITCHBOARD__QUEUE__URL", url.as_str())];
        let check = world.run_with(&["check", "--offline"], &environment).await;
        assert_eq!(check.code, Some(1), "{check:?}");
        let said = format!("{}{}", check.stdout, check.stderr).to_lowercase();
        assert!(said.contains(why), "{said}");
    }
    let all = format!("{:?}", world.log());
    assert!(!all.contains("-of-redis"), "a password is in the log");
}

#[tokio::test]
async fn it_may_want_a_password_which_is_told_to_nobody() {
    let server = RedisServer::with_password("s3cret-of-redis");
    let world = on(&server.url()).await;
    world.emulator("bot").say("hi").await;
    world
        .text("bot", CUSTOMER, "hello", json!({}))
        .await
        .expect(200);
    let check = world.run(&["check"]).await;
    assert_eq!(check.code, Some(0), "{check:?}");
    assert!(check.stdout.contains("queue"), "{check:?}");
    server.kill();
    is_ready(&world, 503).await;
    let check = world.run(&["check"]).await;
    assert_eq!(check.code, Some(1), "{check:?}");
    let all = format!("{:?}{:?}", world.log(), check);
    assert!(!all.contains("s3cret-of-redis"));
}
