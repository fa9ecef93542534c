//! Users that callers make, change and erase.

use super::messages::picture;
use super::*;
use crate::store::users::{self, UserChange, UserFields};
use switchboard_channels::model::Reaction;

impl Bench {
    async fn add(&self, fields: UserFields) -> UserChange {
        self.unit(move |tx, unit| at_once(users::add(tx, unit, &fields)))
            .await
            .0
    }

    async fn update(&self, id: UserId, fields: UserFields) -> UserChange {
        self.unit(move |tx, _| at_once(users::update(tx, id, &fields)))
            .await
            .0
    }

    async fn erase(&self, id: UserId) -> Option<Vec<String>> {
        self.unit(move |tx, unit| at_once(users::delete(tx, unit, id)))
            .await
            .0
    }
}

fn mail(address: &str) -> UserFields {
    UserFields {
        email: Some(Some(address.to_owned())),
        ..UserFields::default()
    }
}

#[tokio::test]
async fn a_user_is_added_with_its_defaults() {
    let bench = Bench::open().await;
    let id = UserId(2);
    assert_eq!(bench.add(UserFields::default()).await, UserChange::Done(id));
    let user = bench.user(id).await.unwrap();
    assert_eq!(
        (user.first_name.as_str(), user.last_name.as_str()),
        ("User", "#2")
    );
    assert_eq!(user.user_type, "visitor");
    assert_eq!(bench.add(mail("a@b.c")).await, UserChange::Done(UserId(3)));
    assert_eq!(bench.user(UserId(3)).await.unwrap().user_type, "user");
    assert_eq!(bench.add(mail("a@b.c")).await, UserChange::DuplicateEmail);
}

#[tokio::test]
async fn an_added_number_leads_inbound_messages_to_its_user() {
    let bench = Bench::open().await;
    let fields = UserFields {
        first_name: Some("Ann".to_owned()),
        phone: Some("+4915".to_owned()),
        ..UserFields::default()
    };
    bench.add(fields).await;
    let mut event = wrote("4915", "m1");
    event.sender.as_mut().unwrap().phone = Some("+4915".to_owned());
    bench.came_to(&phone("wa", "whatsapp"), vec![event]).await;
    let conversation = bench.conversation(ConversationId(1)).await.unwrap();
    assert_eq!(conversation.user_id, UserId(2));
    let user = bench.user(UserId(2)).await.unwrap();
    assert_eq!(
        (user.first_name.as_str(), user.last_name.as_str()),
        ("Ann", "")
    );
}

#[tokio::test]
async fn an_update_changes_what_it_names() {
    let bench = Bench::open().await;
    bench.add(mail("a@b.c")).await;
    bench.add(mail("d@e.f")).await;
    let id = UserId(2);
    let fields = UserFields {
        last_name: Some("Lee".to_owned()),
        details: vec![("town".to_owned(), "Town".to_owned(), "Bonn".to_owned())],
        ..UserFields::default()
    };
    assert_eq!(bench.update(id, fields).await, UserChange::Done(id));
    let user = bench.user(id).await.unwrap();
    assert_eq!(user.email.as_deref(), Some("a@b.c"));
    assert_eq!(
        (user.first_name.as_str(), user.last_name.as_str()),
        ("User", "Lee")
    );
    let details = bench.read(move |tx| at_once(reads::details(tx, id))).await;
    assert_eq!(details[0].2, "Bonn");
    let taken = bench.update(id, mail("d@e.f")).await;
    assert_eq!(taken, UserChange::DuplicateEmail);
    assert_eq!(bench.update(id, mail("a@b.c")).await, UserChange::Done(id));
    let none = UserFields {
        email: Some(None),
        ..UserFields::default()
    };
    bench.update(id, none).await;
    assert_eq!(bench.user(id).await.unwrap().email, None);
    let nobody = bench.update(UserId(99), UserFields::default()).await;
    assert_eq!(nobody, UserChange::NotFound);
}

#[tokio::test]
async fn searching_finds_by_any_part_and_takes_no_patterns() {
    let bench = Bench::open().await;
    let named = |first: &str| UserFields {
        first_name: Some(first.to_owned()),
        ..UserFields::default()
    };
    bench.add(named("Ann")).await;
    bench.add(named("100%")).await;
    bench.add(mail("zoe@x.org")).await;
    bench.came(wrote("4711", "m1")).await;
    let search = async |text: &'static str| {
        let rows = bench.read(move |tx| at_once(reads::search_users(tx, text)));
        rows.await.into_iter().map(|u| u.id.0).collect::<Vec<_>>()
    };
    assert_eq!(search("nN").await, [2]);
    assert_eq!(search("%").await, [3]);
    assert_eq!(search("_").await, [] as [i64; 0]);
    assert_eq!(search("X.ORG").await, [4]);
    assert_eq!(search("4711").await, [5]);
}

/// Every table in which something of a person could be left.
const TEXTS: [&str; 15] = [
    "SELECT first_name || last_name || COALESCE(email, '') || COALESCE(phone, '') FROM users",
    "SELECT slug || name || value FROM user_details",
    "SELECT scope || platform_user_id FROM identities",
    "SELECT thread_key || address || title FROM conversations",
    "SELECT text || attachments || payload FROM messages",
    "SELECT body || COALESCE(answer, '') FROM parts",
    "SELECT outcome || COALESCE(message, '') FROM attempts",
    "SELECT emoji FROM reactions",
    "SELECT body FROM raw_events",
    "SELECT data FROM events",
    "SELECT COALESCE(error, '') FROM deliveries",
    "SELECT name || source FROM media",
    "SELECT arguments FROM idempotency_keys",
    "SELECT body FROM effects",
    "SELECT event FROM held_echoes",
];

/// A person with a trace of everything; whatever is theirs has "secret" in it.
async fn known_person(bench: &Bench) -> UserId {
    let id = "secret-ann";
    let mut first = with(wrote(id, "m1"), |m| {
        m.text = "secret text".to_owned();
        m.attachments = vec![picture("secret-file")];
    });
    let sender = first.sender.as_mut().unwrap();
    sender.profile.first_name = Some("secret".to_owned());
    sender.profile.details = vec![("s".to_owned(), "S".to_owned(), "secret".to_owned())];
    bench.came(first).await;
    let unknown = EventBody::Unknown {
        what: "w".to_owned(),
        raw: format!("{{\"from\":\"{id}\"}}"),
    };
    bench.came(event("u1", unknown)).await;
    let reaction = Reaction {
        target: "m1".to_owned(),
        emoji: "secret".to_owned(),
        added: true,
    };
    bench
        .came(from(id, "r1", EventBody::Reaction(reaction)))
        .await;
    let reply = AcceptSend {
        text: "secret answer".to_owned(),
        ..send_to(id, 2)
    };
    let (_, conversation) = bench.accept(&reply).await;
    let job = bench.deliver(conversation, 1).await;
    bench.taken(&job, "p1").await;
    let user = bench.conversation(conversation).await.unwrap().user_id;
    // In a thread that began with somebody else.
    bench.came(in_thread(wrote("zoe", "g1"), "group")).await;
    let said = with(in_thread(wrote(id, "g2"), "group"), |m| {
        m.text = "secret among others".to_owned();
        m.attachments = vec![picture("secret-file-2")];
    });
    bench.came(said).await;
    user
}

#[tokio::test]
async fn deleting_a_user_erases_everything() {
    let bench = Bench::open().await;
    let user = known_person(&bench).await;
    // What was told of the group is told; what is kept of it here must go.
    bench
        .meddle("DELETE FROM deliveries WHERE group_id <> 1")
        .await;
    bench
        .meddle("DELETE FROM events WHERE id NOT IN (SELECT event_id FROM deliveries)")
        .await;
    let keys = bench.erase(user).await.unwrap();
    assert_eq!(keys.len(), 2, "the bytes of both pictures are to go");
    for table in TEXTS {
        let left = bench.texts(table).await;
        let left: Vec<&String> = left.iter().filter(|t| t.contains("secret")).collect();
        assert!(left.is_empty(), "{table}: {left:?}");
    }
    let last = bench.told().await.pop().unwrap();
    assert_eq!(
        last,
        ("user-deleted".to_owned(), Value::from(user.to_string()))
    );
    // What has to be recognised is kept as a hash; a key of another person as well, an id as it is.
    let ids = bench
        .texts("SELECT platform_id FROM platform_messages")
        .await;
    for (known, kept) in [("m1", false), ("p1", false), ("g2", false), ("g1", true)] {
        assert_eq!(ids.iter().any(|id| id == known), kept, "{known}");
    }
    assert_eq!(ids.len(), 4);
    let keys = bench.texts("SELECT key FROM dedup_keys").await;
    assert!(keys.iter().all(|key| key.len() == 32), "{keys:?}");
    // Others keep theirs.
    let group = bench.messages(ConversationId(2)).await;
    assert_eq!(group.len(), 1);
    assert_eq!(group[0].text, "text of g1");
    assert_eq!(bench.erase(user).await, None);
}

#[tokio::test]
async fn an_erased_person_is_not_brought_back() {
    let bench = Bench::open().await;
    let user = known_person(&bench).await;
    let conversation = ConversationId(1);
    let open = bench.deliver(conversation, 1).await;
    bench.erase(user).await;
    let users = bench.number("SELECT COUNT(*) FROM users").await;
    // A redelivered webhook, also after its key is forgotten, and a late reaction to a message.
    bench.meddle("DELETE FROM dedup_keys").await;
    assert_eq!(bench.came(wrote("secret-ann", "m1")).await, Fate::Duplicate);
    let reaction = Reaction {
        target: "m1".to_owned(),
        emoji: "x".to_owned(),
        added: true,
    };
    bench
        .came(from("secret-ann", "r9", EventBody::Reaction(reaction)))
        .await;
    assert_eq!(bench.number("SELECT COUNT(*) FROM users").await, users);
    // Also after the person has come back by themselves, as somebody new.
    assert_eq!(bench.came(wrote("secret-ann", "m9")).await, Fate::Applied);
    assert_eq!(bench.came(wrote("secret-ann", "m1")).await, Fate::Duplicate);
    // What was under way ends quietly.
    let after = bench.taken(&open, "p2").await;
    assert_eq!(after.more, None);
    assert!(matches!(bench.begin(conversation, 9).await, Begun::Nothing));
    bench
        .unit(|tx, unit| at_once(crate::store::upkeep::expire(tx, unit)))
        .await;
}

#[tokio::test]
async fn what_a_deleted_agent_wrote_stays_and_is_sent() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    let fields = UserFields {
        user_type: Some("agent".to_owned()),
        ..mail("agent@x.org")
    };
    let UserChange::Done(agent) = bench.add(fields).await else {
        panic!("no agent");
    };
    let send = AcceptSend {
        author: agent,
        ..send_to("ann", 1)
    };
    let (message, conversation) = bench.accept(&send).await;
    assert_eq!(bench.erase(agent).await, Some(vec![]));
    let rows = bench.messages(conversation).await;
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1].user_id, BOT);
    let job = bench.deliver(conversation, 1).await;
    assert_eq!(job.part.message, message);
}

#[tokio::test]
async fn the_bot_cannot_be_deleted() {
    let bench = Bench::open().await;
    assert_eq!(bench.erase(BOT).await, None);
    assert!(bench.user(BOT).await.is_some());
}
