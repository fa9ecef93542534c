//! Who a platform's id is: made, found, shared between kinds, joined.

use super::*;
use switchboard_channels::model::UserChange;

async fn contacts(bench: &Bench) -> i64 {
    bench
        .number("SELECT COUNT(*) FROM users WHERE id <> 1")
        .await
}

fn known_as(ids: &[&str], phone: Option<&str>, email: Option<&str>) -> Sender {
    Sender {
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        phone: phone.map(str::to_owned),
        email: email.map(str::to_owned),
        ..Sender::default()
    }
}

fn wrote_as(sender: Sender, key: &str) -> Event {
    Event {
        sender: Some(sender),
        ..wrote("x", key)
    }
}

#[tokio::test]
async fn two_ids_in_one_event_are_one_person() {
    let bench = Bench::open().await;
    bench
        .came(wrote_as(known_as(&["a", "b"], None, None), "m1"))
        .await;
    bench
        .came(wrote_as(known_as(&["b"], None, None), "m2"))
        .await;
    bench
        .came(wrote_as(known_as(&["c", "a"], None, None), "m3"))
        .await;
    bench
        .came(wrote_as(known_as(&["c"], None, None), "m4"))
        .await;
    assert_eq!(contacts(&bench).await, 1);
    assert_eq!(bench.messages(ConversationId(1)).await.len(), 4);
}

#[tokio::test]
async fn a_number_is_one_person_on_every_phone_channel() {
    let bench = Bench::open().await;
    let sender = || known_as(&["4915"], Some("+4915"), None);
    let whatsapp = phone("wa", "whatsapp");
    let sms = phone("sms", "twilio-sms");
    bench
        .came_to(&whatsapp, vec![wrote_as(sender(), "m1")])
        .await;
    bench.came_to(&sms, vec![wrote_as(sender(), "m1")]).await;
    assert_eq!(contacts(&bench).await, 1);
    // Two channels, two conversations of the one person.
    let of = "SELECT COUNT(*) FROM conversations WHERE user_id = 2";
    assert_eq!(bench.number(of).await, 2);
    let number = bench.texts("SELECT phone FROM users WHERE id = 2").await;
    assert_eq!(number, ["+4915"]);
    // Where ids are a channel's own, the number shares nothing.
    bench.came(wrote_as(sender(), "m1")).await;
    assert_eq!(contacts(&bench).await, 2);
}

#[tokio::test]
async fn an_address_is_one_person_in_any_spelling() {
    let bench = Bench::open().await;
    let mail = ChannelInfo {
        id: "mail".to_owned(),
        kind: "email",
        source: "em",
        identity: IdentityScope::Email,
        window_hours: None,
    };
    for (key, address) in [("m1", "Ann@Example.com"), ("m2", "ann@example.COM")] {
        let sender = known_as(&[&address.to_lowercase()], None, Some(address));
        bench.came_to(&mail, vec![wrote_as(sender, key)]).await;
    }
    assert_eq!(contacts(&bench).await, 1);
    let addresses = bench.texts("SELECT email FROM users WHERE id = 2");
    assert_eq!(addresses.await, ["ann@example.com"]);
}

#[tokio::test]
async fn a_kinds_ids_are_known_on_all_its_channels() {
    let bench = Bench::open().await;
    let channel = |id: &str| ChannelInfo {
        id: id.to_owned(),
        identity: IdentityScope::Kind,
        ..bot()
    };
    bench.came_to(&channel("a"), vec![wrote("ann", "m1")]).await;
    bench.came_to(&channel("b"), vec![wrote("ann", "m1")]).await;
    assert_eq!(contacts(&bench).await, 1);
}

#[tokio::test]
async fn joining_two_users_loses_nothing_of_either() {
    let bench = Bench::open().await;
    let mut first = wrote_as(known_as(&["a"], None, None), "m1");
    first.sender.as_mut().unwrap().profile.details =
        vec![("town".to_owned(), "Town".to_owned(), "Bonn".to_owned())];
    bench.came(first).await;
    let mut second = wrote_as(known_as(&["b"], Some("+49"), Some("B@x.org")), "m2");
    second.sender.as_mut().unwrap().profile.details = vec![
        ("town".to_owned(), "Town".to_owned(), "Köln".to_owned()),
        ("job".to_owned(), "Job".to_owned(), "Baker".to_owned()),
    ];
    bench.came(second).await;
    // In a group that began with somebody else, and a reaction.
    bench.came(in_thread(wrote("zoe", "g1"), "group")).await;
    let group = in_thread(wrote_as(known_as(&["b"], None, None), "g2"), "group");
    bench.came(group).await;
    bench
        .meddle("INSERT INTO reactions VALUES (1, 3, '+'), (1, 2, '+'), (2, 3, '-')")
        .await;
    bench.news().await;

    let both = wrote_as(known_as(&["b", "a"], None, None), "m3");
    assert_eq!(bench.came(both).await, Fate::Applied);
    let told = ["message-sent", "new-messages", "user-updated"];
    assert_eq!(bench.news().await, told);
    // The older of the two stays.
    assert!(bench.user(UserId(3)).await.is_none());
    let user = bench.user(UserId(2)).await.unwrap();
    assert_eq!(user.email.as_deref(), Some("b@x.org"));
    assert_eq!(user.phone.as_deref(), Some("+49"));
    let details = bench
        .read(|tx| at_once(reads::details(tx, UserId(2))))
        .await;
    let details: Vec<&str> = details.iter().map(|d| d.2.as_str()).collect();
    assert_eq!(details, ["Baker", "Bonn"]);
    let orphans = "SELECT COUNT(*) FROM messages m LEFT JOIN users u ON u.id = m.user_id
        WHERE u.id IS NULL";
    assert_eq!(bench.number(orphans).await, 0);
    let reactions = bench.texts("SELECT message_id || ' ' || user_id || emoji FROM reactions");
    assert_eq!(reactions.await, ["1 2+", "2 2-"]);
    // What was said in the group is still listed, under the one who stayed.
    let said = bench.messages(ConversationId(3)).await;
    assert_eq!(said.iter().map(|m| m.user_id.0).collect::<Vec<_>>(), [4, 2]);
    // Both conversations can be read; new messages go to the elder's.
    let live = "SELECT COUNT(*) FROM conversations WHERE user_id = 2 AND thread_live";
    assert_eq!(bench.number(live).await, 1);
    assert_eq!(bench.messages(ConversationId(1)).await.len(), 2);
    assert_eq!(bench.messages(ConversationId(2)).await.len(), 1);
    bench
        .came(wrote_as(known_as(&["b"], None, None), "m4"))
        .await;
    assert_eq!(bench.messages(ConversationId(1)).await.len(), 3);
}

#[tokio::test]
async fn a_joined_user_without_a_conversation_takes_the_others_over() {
    let bench = Bench::open().await;
    let subscribed = EventBody::User(UserChange::Subscribed { referral: None });
    bench.came(from("a", "s1", subscribed)).await;
    bench.came(wrote("b", "m1")).await;
    bench
        .came(wrote_as(known_as(&["a", "b"], None, None), "m2"))
        .await;
    assert_eq!(bench.messages(ConversationId(1)).await.len(), 2);
    assert_eq!(bench.number("SELECT COUNT(*) FROM conversations").await, 1);
    let conversation = bench.conversation(ConversationId(1)).await.unwrap();
    assert_eq!(conversation.user_id, UserId(2));
}

#[tokio::test]
async fn three_ids_of_three_users_are_one_person() {
    let bench = Bench::open().await;
    for (id, key) in [("a", "m1"), ("b", "m2"), ("c", "m3")] {
        bench.came(wrote(id, key)).await;
    }
    bench
        .came(wrote_as(known_as(&["c", "a", "b"], None, None), "m4"))
        .await;
    assert_eq!(contacts(&bench).await, 1);
    let authors = bench.texts("SELECT DISTINCT CAST(user_id AS TEXT) FROM messages");
    assert_eq!(authors.await, ["2"]);
}

#[tokio::test]
async fn a_profile_follows_the_platform() {
    let bench = Bench::open().await;
    let named = |key: &str, first: &str, last: Option<&str>| {
        let mut event = wrote("ann", key);
        let profile = &mut event.sender.as_mut().unwrap().profile;
        profile.first_name = Some(first.to_owned());
        profile.last_name = last.map(str::to_owned);
        event
    };
    bench.came(named("m1", "Ann", Some("Lee"))).await;
    bench.news().await;
    bench.came(named("m2", "Ann", Some("Lee"))).await;
    bench.came(wrote("ann", "m3")).await;
    assert!(!bench.news().await.contains(&"user-updated".to_owned()));
    bench.came(named("m4", "Anna", None)).await;
    let last = bench.told().await.pop().unwrap();
    assert_eq!(last.0, "user-updated");
    assert_eq!(last.1["change"], "profile");
    let user = bench.user(UserId(2)).await.unwrap();
    assert_eq!(
        (user.first_name.as_str(), user.last_name.as_str()),
        ("Anna", "")
    );
}

#[tokio::test]
async fn a_nameless_contact_is_shown_by_number_or_address() {
    let bench = Bench::open().await;
    let numbered = wrote_as(known_as(&["1"], Some("+491"), None), "m1");
    bench.came(numbered).await;
    bench
        .came(wrote_as(known_as(&["2"], None, Some("a@b.c")), "m2"))
        .await;
    bench.came(wrote("3", "m3")).await;
    let names = bench.texts("SELECT first_name FROM users WHERE id > 1 ORDER BY id");
    assert_eq!(names.await, ["+491", "a@b.c", "3"]);
}

#[tokio::test]
async fn changes_of_a_person_are_told() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    bench.news().await;
    let changes = [
        (UserChange::Unsubscribed, "unsubscribed"),
        (UserChange::OptedOut, "opted-out"),
        (UserChange::OptedIn, "opted-in"),
        (UserChange::Subscribed { referral: None }, "subscribed"),
    ];
    for (n, (change, name)) in changes.into_iter().enumerate() {
        let key = format!("c{n}");
        bench.came(from("ann", &key, EventBody::User(change))).await;
        let (event, data) = bench.told().await.pop().unwrap();
        assert_eq!(event, "user-updated");
        assert_eq!(data["change"], name);
        assert_eq!(data["conversation_id"], "1");
        if name == "opted-out" {
            let out = "SELECT value FROM user_details WHERE slug = 'opted_out'";
            assert_eq!(bench.texts(out).await, ["true"]);
        }
    }
    let out = "SELECT value FROM user_details WHERE slug = 'opted_out'";
    assert_eq!(bench.texts(out).await, ["false"]);
    let nobodys = event("c9", EventBody::User(UserChange::Unsubscribed));
    assert_eq!(bench.came(nobodys).await, Fate::Kept);
}

#[tokio::test]
async fn a_new_id_leads_to_the_person_of_the_old_one() {
    let bench = Bench::open().await;
    bench.came(wrote("old", "m1")).await;
    let previous_ids = vec!["old".to_owned()];
    let change = UserChange::Profile { previous_ids };
    bench.came(from("new", "c1", EventBody::User(change))).await;
    let conversation = bench.conversation(ConversationId(1)).await.unwrap();
    assert_eq!(conversation.address, "new");
    bench.came(wrote("new", "m2")).await;
    assert_eq!(contacts(&bench).await, 1);
    assert_eq!(bench.messages(ConversationId(1)).await.len(), 2);
}
