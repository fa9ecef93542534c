//! Events to the chat backend, on its good and its bad days.

use crate::{CUSTOMER, world};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use switchboard_testkit::{Backend, HOOK_KEY, Mood, until};

#[tokio::test]
async fn after_an_outage_of_the_backend_every_event_comes_once_and_in_order() {
    const PEOPLE: usize = 4;
    const EACH: usize = 6;
    let world = world().channel("bot", "telegram").start().await;
    let (bot, backend) = (world.emulator("bot"), world.backend());
    let say = async |round: usize| {
        for person in 0..PEOPLE {
            bot.say_as(&format!("{}", 4000 + person), &format!("text {round}"))
                .await;
        }
    };
    say(0).await;
    world.quiet().await;
    // It fails, then it is gone altogether, then it hangs, then it is back.
    backend.mood(Mood::Answers(500));
    say(1).await;
    until("a failed delivery", || async {
        backend.deliveries().iter().any(|d| !d.taken).then_some(())
    })
    .await;
    backend.leave().await;
    say(2).await;
    say(3).await;
    backend.mood(Mood::Hangs);
    backend.listen().await;
    say(4).await;
    let hung = backend.deliveries().len();
    until("a delivery that hangs", || async {
        (backend.deliveries().len() > hung).then_some(())
    })
    .await;
    backend.mood(Mood::Takes);
    say(5).await;
    backend.wait("new-messages", PEOPLE * EACH).await;
    world.quiet().await;

    let taken: Vec<_> = backend
        .deliveries()
        .into_iter()
        .filter(|d| d.taken)
        .collect();
    let ids: HashSet<&String> = taken.iter().map(|d| &d.id).collect();
    assert_eq!(ids.len(), taken.len(), "an event was taken twice");
    let mut orders: HashMap<String, Vec<String>> = HashMap::new();
    for event in backend.named("message-sent") {
        let order = orders.entry(event.word("conversation_id")).or_default();
        order.push(event.word("message"));
    }
    assert_eq!(orders.len(), PEOPLE);
    let expected: Vec<String> = (0..EACH).map(|n| format!("text {n}")).collect();
    for order in orders.values() {
        assert_eq!(order, &expected);
    }
    // A repeated event is the same event: id and content.
    let mut contents = HashMap::new();
    for delivery in backend.deliveries() {
        let first = contents
            .entry(delivery.id.clone())
            .or_insert_with(|| delivery.body.clone());
        assert_eq!(*first, delivery.body, "the event changed between tries");
    }
    let failed = backend.deliveries().iter().filter(|d| !d.taken).count();
    assert!(failed >= 2, "the outage was not noticed");
}

#[tokio::test]
async fn a_backend_that_hangs_holds_up_no_send() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    world.backend().mood(Mood::Hangs);
    for n in 0..10 {
        world
            .text("bot", CUSTOMER, &format!("text {n}"), json!({}))
            .await
            .expect(200);
    }
    assert_eq!(bot.texts().await.len(), 10);
    world.backend().mood(Mood::Takes);
    world.backend().wait("message-status-updated", 10).await;
    world.quiet().await;
    assert_eq!(world.backend().named("message-status-updated").len(), 10);
}

#[tokio::test]
async fn without_a_receiver_nothing_is_posted_and_nothing_piles_up() {
    let world = world()
        .channel("bot", "telegram")
        .set("webhooks", json!([]))
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    world
        .text("bot", CUSTOMER, "hello", json!({}))
        .await
        .expect(200);
    world.quiet().await;
    assert!(world.backend().deliveries().is_empty());
}

#[tokio::test]
async fn an_event_that_a_kill_cut_off_comes_again_under_its_id() {
    let world = world()
        .channel("bot", "telegram")
        .emulators_apart()
        .start()
        .await;
    let backend = world.backend();
    backend.mood(Mood::Hangs);
    world.emulator("bot").say("hello").await;
    until("a delivery that hangs", || async {
        (!backend.deliveries().is_empty()).then_some(())
    })
    .await;
    world.kill();
    backend.mood(Mood::Takes);
    world.restart().await;
    backend.wait("new-messages", 1).await;
    world.quiet().await;
    let hung = backend.deliveries().into_iter().find(|d| !d.taken).unwrap();
    let taken: Vec<_> = backend
        .deliveries()
        .into_iter()
        .filter(|d| d.taken)
        .collect();
    assert_eq!(taken.len(), 3);
    assert_eq!((&taken[0].id, &taken[0].body), (&hung.id, &hung.body));
}

#[tokio::test]
async fn a_receiver_that_is_down_holds_up_no_other() {
    let (down, up) = (Backend::start().await, Backend::start().await);
    let hook =
        |id: &str, backend: &Backend| json!({"id": id, "url": backend.url(), "key": HOOK_KEY});
    let world = world()
        .channel("bot", "telegram")
        .set("webhooks", json!([hook("down", &down), hook("up", &up)]))
        .start()
        .await;
    down.leave().await;
    let bot = world.emulator("bot");
    for n in 0..10 {
        bot.say(&format!("text {n}")).await;
    }
    up.wait("new-messages", 10).await;
    assert!(down.deliveries().is_empty());
    down.listen().await;
    down.wait("new-messages", 10).await;
    world.quiet().await;
    let told = |backend: &Backend| -> Vec<String> {
        backend
            .events()
            .into_iter()
            .map(|e| format!("{} {}", e.name, e.data))
            .collect()
    };
    assert_eq!(told(&down), told(&up), "both are told the same");
    assert_eq!(
        [down.complaints(), up.complaints()],
        [Vec::<String>::new(), Vec::new()]
    );
}
