//! Answers to certain messages: what the platform wants to see in place of the id.

use super::workers::put_off;
use super::*;
use crate::store::inbound::mark_deleted;
use switchboard_channels::Class;

/// A send that answers a message of the platform's.
fn answer_to(platform_id: &str) -> AcceptSend {
    let mut planned: Part = serde_json::from_str(&part("ann", 0, 1)).unwrap();
    planned.reply_to = Some(platform_id.to_owned());
    AcceptSend {
        parts: vec![serde_json::to_string(&planned).unwrap()],
        ..send_to("ann", 1)
    }
}

fn wrote_with_token(id: &str, key: &str, token: &str) -> Event {
    with(wrote(id, key), |m| {
        m.facts = vec![("quote_token".to_owned(), token.to_owned())];
    })
}

#[tokio::test]
async fn an_answer_gets_the_quote_token_that_the_message_brought() {
    let bench = Bench::open().await;
    bench.came(wrote_with_token("ann", "m1", "q-1")).await;
    bench.came(wrote("ann", "m2")).await;
    for (answered, token) in [("m1", Some("q-1")), ("m2", None), ("m3", None)] {
        let (_, conversation) = bench.accept(&answer_to(answered)).await;
        let job = bench.deliver(conversation, 1).await;
        assert_eq!(job.quote_token.as_deref(), token, "{answered}");
        bench.taken(&job, &format!("answer to {answered}")).await;
    }
    // What answers nothing gets none.
    let (_, conversation) = bench.accept(&send_to("ann", 1)).await;
    assert_eq!(bench.deliver(conversation, 1).await.quote_token, None);
}

#[tokio::test]
async fn no_quote_token_of_another_conversation_or_of_what_was_taken_back() {
    let bench = Bench::open().await;
    bench.came(wrote_with_token("bob", "m1", "q-1")).await;
    bench.came(wrote_with_token("ann", "m2", "q-2")).await;
    let (_, conversation) = bench.accept(&answer_to("m1")).await;
    let job = bench.deliver(conversation, 1).await;
    assert_eq!(job.quote_token, None);
    bench.taken(&job, "p1").await;
    let taken_back = bench.messages(conversation).await[0].id;
    bench
        .unit(move |tx, unit| at_once(mark_deleted(tx, unit, taken_back)))
        .await;
    bench.accept(&answer_to("m2")).await;
    assert_eq!(bench.deliver(conversation, 1).await.quote_token, None);
}

#[tokio::test]
async fn a_retry_is_told_the_token_again() {
    let bench = Bench::open().await;
    bench.came(wrote_with_token("ann", "m1", "q-1")).await;
    let (_, conversation) = bench.accept(&answer_to("m1")).await;
    let job = bench.deliver(conversation, 1).await;
    bench.put_off(put_off(&job, Class::Retry, T0)).await;
    let again = bench.deliver(conversation, 1).await;
    assert_eq!(
        (again.attempt, again.quote_token.as_deref()),
        (2, Some("q-1"))
    );
}
