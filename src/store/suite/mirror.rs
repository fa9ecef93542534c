//! Conversations shown at a desk, and answers brought back: noted with the message, done once, in
//! order, and never in circles.

use super::*;
use crate::store::mirror::{self, Beginning, Copy, Desk, Job as MirrorJob, What};
use switchboard_channels::model::{Delete, Edit};

/// The desk.
fn desk() -> ChannelInfo {
    ChannelInfo {
        id: "desk".to_owned(),
        kind: "slack",
        source: "sl",
        identity: IdentityScope::Channel,
        window_hours: None,
    }
}

/// A bench whose usual channel is shown at the desk.
async fn bench() -> Bench {
    let mut bench = Bench::open().await;
    let store = bench.store.take().unwrap().with_desks(vec![Desk {
        channel: "desk".to_owned(),
        shows: vec!["*".to_owned()],
    }]);
    bench.store = Some(store);
    bench
}

async fn jobs(bench: &Bench) -> Vec<MirrorJob> {
    bench.read(|tx| at_once(mirror::jobs(tx))).await
}

async fn all_jobs(bench: &Bench) -> i64 {
    bench.number("SELECT COUNT(*) FROM mirror_jobs").await
}

/// The copy of a message for the desk.
fn to_desk(message: MessageId, shown: ConversationId) -> Copy {
    Copy {
        begins: Some(Beginning {
            shown,
            address: "C1".to_owned(),
            title: "ann".to_owned(),
        }),
        send: AcceptSend {
            channel: desk(),
            target: Target::Conversation(shown),
            function: "mirror".to_owned(),
            parts: vec![part("", 0, 1)],
            mirror_of: Some(message),
            ..send_to("ann", 1)
        },
    }
}

/// An answer brought back.
fn to_contact(message: MessageId, shown: ConversationId) -> Copy {
    Copy {
        begins: None,
        send: AcceptSend {
            target: Target::Conversation(shown),
            function: "mirror".to_owned(),
            mirror_of: Some(message),
            ..send_to("ann", 1)
        },
    }
}

async fn copy(bench: &Bench, job: &MirrorJob, copies: Vec<Copy>) -> bool {
    let job = job.clone();
    let done = bench.unit(move |tx, unit| at_once(mirror::copy(tx, unit, &job, &copies)));
    done.await.0
}

/// The mirror of a conversation, and whether it has a place.
async fn mirror_of(bench: &Bench, shown: ConversationId) -> (ConversationId, bool) {
    let found = bench
        .read(move |tx| at_once(mirror::mirror_of(tx, shown, "desk")))
        .await;
    let (mirror, placed) = found.expect("a mirror");
    (mirror.id, placed)
}

/// A customer has written and is shown; gives the conversation and its mirror, which has no place yet.
async fn shown(bench: &Bench) -> (ConversationId, ConversationId) {
    bench.came(wrote("ann", "m1")).await;
    let job = jobs(bench).await.remove(0);
    let conversation = job.conversation;
    assert!(copy(bench, &job, vec![to_desk(job.message, conversation)]).await);
    let (mirror, placed) = mirror_of(bench, conversation).await;
    assert!(!placed);
    (conversation, mirror)
}

/// The first message of a mirror is posted.
async fn posted(bench: &Bench, mirror: ConversationId, id: &str) {
    let job = bench.deliver(mirror, 1).await;
    let taken = Taken {
        channel: "desk".to_owned(),
        place: Some(id.to_owned()),
        ..receipt(&job, id)
    };
    bench.taken_unit(taken).await;
}

/// Somebody at the desk writes in this thread.
async fn answered(bench: &Bench, thread: &str, key: &str) -> Fate {
    let event = in_thread(wrote("agent", key), thread);
    bench.came_to(&desk(), vec![event]).await[0]
}

#[tokio::test]
async fn what_is_written_is_noted_with_it_and_once() {
    let bench = bench().await;
    bench.came(wrote("ann", "m1")).await;
    bench.came(wrote("ann", "m1")).await;
    bench.accept(&send_to("ann", 1)).await;
    assert_eq!(all_jobs(&bench).await, 2);
    // One conversation, one job at a time.
    let first = jobs(&bench).await;
    assert_eq!(first.len(), 1);
    assert_eq!((first[0].message, first[0].what), (MessageId(1), What::New));
    bench.came(wrote("bob", "m2")).await;
    assert_eq!(
        jobs(&bench).await.len(),
        2,
        "another conversation does not wait"
    );
}

#[tokio::test]
async fn nothing_is_noted_where_nothing_is_shown() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    bench.accept(&send_to("ann", 1)).await;
    assert_eq!(all_jobs(&bench).await, 0);
}

#[tokio::test]
async fn a_job_is_done_once_and_not_before_the_one_before_it() {
    let bench = bench().await;
    bench.came(wrote("ann", "m1")).await;
    bench.came(wrote("ann", "m2")).await;
    let first = jobs(&bench).await.remove(0);
    let second = MirrorJob {
        id: first.id + 1,
        message: MessageId(2),
        ..first.clone()
    };
    let of = first.conversation;
    assert!(!copy(&bench, &second, vec![to_desk(MessageId(2), of)]).await);
    assert!(copy(&bench, &first, vec![to_desk(MessageId(1), of)]).await);
    assert!(!copy(&bench, &first, vec![to_desk(MessageId(1), of)]).await);
    assert!(copy(&bench, &second, vec![to_desk(MessageId(2), of)]).await);
    let copies =
        "SELECT CAST(mirror_of AS TEXT) FROM messages WHERE mirror_of IS NOT NULL ORDER BY seq";
    assert_eq!(bench.texts(copies).await, ["1", "2"]);
    assert_eq!(all_jobs(&bench).await, 0, "copies are not shown again");
    assert_eq!(bench.number("SELECT COUNT(*) FROM mirrors").await, 1);
}

#[tokio::test]
async fn what_follows_goes_where_the_first_message_went() {
    let bench = bench().await;
    let (conversation, mirror) = shown(&bench).await;
    bench.came(wrote("ann", "m2")).await;
    let job = jobs(&bench).await.remove(0);
    copy(&bench, &job, vec![to_desk(job.message, conversation)]).await;
    // Planned at once, and sent when the place is known.
    let first = bench.deliver(mirror, 1).await;
    assert_eq!(first.part.to, "C1");
    let taken = Taken {
        channel: "desk".to_owned(),
        place: Some("C1:1.1".to_owned()),
        ..receipt(&first, "C1:1.1")
    };
    bench.taken_unit(taken).await;
    assert_eq!(mirror_of(&bench, conversation).await, (mirror, true));
    assert_eq!(bench.deliver(mirror, 1).await.part.to, "C1:1.1");
    // A place is given once: later receipts are of messages within it.
    let row = bench.conversation(mirror).await.unwrap();
    assert_eq!(
        (row.address.as_str(), row.extra.as_deref()),
        ("C1:1.1", Some("C1"))
    );
}

#[tokio::test]
async fn an_answer_is_brought_back_and_goes_no_further() {
    let bench = bench().await;
    let (conversation, mirror) = shown(&bench).await;
    posted(&bench, mirror, "C1:1.1").await;
    bench.news().await;
    assert_eq!(answered(&bench, "C1:1.1", "a1").await, Fate::Applied);
    assert_eq!(answered(&bench, "C1:1.1", "a1").await, Fate::Duplicate);
    assert_eq!(
        bench.news().await,
        Vec::<String>::new(),
        "it is told of as an answer"
    );
    let job = jobs(&bench).await.remove(0);
    assert_eq!(job.conversation, mirror);
    let read = job.clone();
    let scene = bench
        .read(move |tx| at_once(mirror::scene(tx, &read)))
        .await
        .unwrap();
    assert_eq!(scene.shows.as_ref().map(|c| c.id), Some(conversation));
    assert_eq!(scene.known_as, ["agent"]);
    assert!(copy(&bench, &job, vec![to_contact(job.message, conversation)]).await);
    assert_eq!(bench.news().await, ["message-sent"]);
    assert_eq!(
        all_jobs(&bench).await,
        0,
        "what was brought back is not shown again"
    );
    assert_eq!(bench.deliver(conversation, 1).await.part.to, "ann");
}

#[tokio::test]
async fn an_answer_that_comes_before_the_place_is_known_is_not_lost() {
    let bench = bench().await;
    let (conversation, mirror) = shown(&bench).await;
    let job = bench.deliver(mirror, 1).await;
    // The platform has it, we have not read so.
    assert_eq!(answered(&bench, "C1:1.1", "early").await, Fate::Applied);
    let waits = || bench.read(|tx| at_once(mirror::is_being_placed(tx, "desk")));
    assert!(waits().await);
    let taken = Taken {
        channel: "desk".to_owned(),
        place: Some("C1:1.1".to_owned()),
        ..receipt(&job, "C1:1.1")
    };
    let (_, wakes) = bench.taken_unit(taken).await;
    assert!(wakes.mirror, "who waits is woken");
    assert!(!waits().await);
    let early = jobs(&bench).await.remove(0);
    assert_eq!(early.conversation, mirror);
    let read = early.clone();
    let scene = bench
        .read(move |tx| at_once(mirror::scene(tx, &read)))
        .await
        .unwrap();
    assert_eq!(scene.shows.map(|c| c.id), Some(conversation));
    // And the next one finds the mirror itself.
    answered(&bench, "C1:1.1", "late").await;
    assert_eq!(bench.messages(mirror).await.len(), 3);
}

#[tokio::test]
async fn copies_are_no_news_but_that_slack_took_them_is() {
    let bench = bench().await;
    let (conversation, mirror) = shown(&bench).await;
    let told = bench.news().await;
    assert_eq!(
        told.iter().filter(|name| *name == "message-sent").count(),
        1,
        "{told:?}"
    );
    posted(&bench, mirror, "C1:1.1").await;
    let told = bench.told().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, "slack-message-sent");
    assert_eq!(told[0].1["conversation_id"], conversation.to_string());
    assert_eq!(told[0].1["slack_channel"], "C1");
}

#[tokio::test]
async fn changes_and_failures_are_noted_and_failures_of_copies_are_not() {
    let bench = bench().await;
    let (conversation, mirror) = shown(&bench).await;
    let edit = EventBody::Edit(Edit {
        target: "m1".to_owned(),
        text: "new".to_owned(),
        attachments: None,
    });
    let delete = EventBody::Delete(Delete {
        target: "m1".to_owned(),
    });
    bench.came(from("ann", "e1", edit)).await;
    bench.came(from("ann", "d1", delete)).await;
    let whats = "SELECT what FROM mirror_jobs ORDER BY id";
    assert_eq!(bench.texts(whats).await, ["edited", "deleted"]);
    bench.meddle("DELETE FROM mirror_jobs").await;

    let fail = |id: MessageId| {
        let failure = work::Failure::dead("13", "no");
        bench.unit(move |tx, unit| at_once(work::fail(tx, unit, id, &failure)))
    };
    let shown_copy = bench.messages(mirror).await[0].id;
    fail(shown_copy).await;
    assert_eq!(
        all_jobs(&bench).await,
        0,
        "a copy at the desk is nobody's answer"
    );
    let answer = to_contact(shown_copy, conversation).send;
    let (answer, _) = bench.accept(&answer).await;
    fail(answer).await;
    assert_eq!(bench.texts(whats).await, ["failed"]);
}

#[tokio::test]
async fn who_is_erased_is_erased_at_the_desk_too() {
    let bench = bench().await;
    let (conversation, _) = shown(&bench).await;
    bench.came(wrote("ann", "m2")).await;
    let user = bench.conversation(conversation).await.unwrap().user_id;
    bench
        .unit(move |tx, unit| at_once(crate::store::users::delete(tx, unit, user)))
        .await;
    for table in [
        "SELECT COUNT(*) FROM messages",
        "SELECT COUNT(*) FROM parts",
        "SELECT COUNT(*) FROM mirrors",
        "SELECT COUNT(*) FROM mirror_jobs",
        "SELECT COUNT(*) FROM conversations",
    ] {
        assert_eq!(bench.number(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_conversation_that_a_caller_shows_is_shown_from_then_on() {
    let mut bench = Bench::open().await;
    let store = bench.store.take().unwrap().with_desks(vec![Desk {
        channel: "desk".to_owned(),
        shows: Vec::new(),
    }]);
    bench.store = Some(store);
    bench.came(wrote("ann", "m1")).await;
    assert_eq!(all_jobs(&bench).await, 0);
    let beginning = to_desk(MessageId(1), ConversationId(1)).begins.unwrap();
    let twice = beginning.clone();
    let first = bench
        .unit(move |tx, unit| at_once(mirror::begin(tx, unit, &desk(), &beginning)))
        .await
        .0;
    let again = bench
        .unit(move |tx, unit| at_once(mirror::begin(tx, unit, &desk(), &twice)))
        .await
        .0;
    assert_eq!(first, again);
    bench.came(wrote("ann", "m2")).await;
    assert_eq!(all_jobs(&bench).await, 1);
}
