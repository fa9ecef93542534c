//! Attachments: announced, fetched, shown.

use super::messages::picture;
use super::*;
use crate::store::media_rows::{self, Fetched, MediaRow};
use crate::store::upkeep;
use switchboard_channels::model::Edit;

impl Bench {
    async fn media(&self, id: i64) -> MediaRow {
        let row = self.read(move |tx| at_once(media_rows::by_id(tx, id)));
        row.await.expect("the attachment is there")
    }

    async fn fetched(&self, id: i64) {
        let fetched = Fetched {
            id,
            mime: Some("image/png".to_owned()),
            name: "cat.png".to_owned(),
            size_bytes: 99,
        };
        self.unit(move |tx, unit| at_once(media_rows::stored(tx, unit, &fetched)))
            .await;
    }
}

async fn two_pictures() -> Bench {
    let bench = Bench::open().await;
    let event = with(wrote("ann", "m1"), |m| {
        m.attachments = vec![picture("f1"), picture("f2")];
    });
    bench.came(event).await;
    bench
}

#[tokio::test]
async fn an_announced_attachment_is_fetched_and_has_its_link_at_once() {
    let bench = Bench::open().await;
    let mut withheld = picture("f2");
    withheld.media = None;
    let event = with(wrote("ann", "m1"), |m| {
        m.attachments = vec![picture("f1"), withheld];
    });
    let batch = InboundBatch {
        channel: bot(),
        events: vec![event],
        effects: Vec::new(),
    };
    let (_, wakes) = bench
        .unit(move |tx, unit| at_once(apply(tx, unit, std::slice::from_ref(&batch))))
        .await;
    assert_eq!(wakes.media, [("bot".to_owned(), 1)]);
    let row = bench.media(1).await;
    assert_eq!(
        (row.state.as_str(), row.source.reference.as_str()),
        ("pending", "f1")
    );
    let by_key = row.key.clone();
    let found = bench.read(move |tx| at_once(media_rows::by_key(tx, &by_key)));
    assert_eq!(found.await.unwrap().id, 1);
    let shown = bench.message(MessageId(1)).await.attachments;
    assert_eq!(shown[0].name, "image-1-1.jpg");
    assert_eq!(shown[0].media_key.as_ref(), Some(&row.key));
    assert_eq!(shown[1].media_key, None);
    let told = bench.told().await;
    let (_, data) = told
        .iter()
        .find(|(name, _)| name == "message-sent")
        .unwrap();
    assert!(data.to_string().contains(&row.key), "{data}");
    let due = bench
        .read(|tx| at_once(upkeep::due_media(tx, "bot", 0)))
        .await;
    assert_eq!(due.len(), 1);
}

#[tokio::test]
async fn what_a_fetch_brought_is_told_once() {
    let bench = two_pictures().await;
    bench.news().await;
    bench.fetched(2).await;
    assert_eq!(bench.news().await, ["message-updated"]);
    let shown = bench.message(MessageId(1)).await.attachments;
    assert_eq!(shown[0].name, "image-1-1.jpg");
    assert_eq!(shown[1].name, "cat.png");
    assert_eq!(shown[1].size_bytes, Some(99));
    assert_eq!(bench.media(2).await.state, "stored");
    bench.fetched(2).await;
    assert_eq!(bench.news().await, [] as [&str; 0]);
    let due = bench
        .read(|tx| at_once(upkeep::due_media(tx, "bot", 0)))
        .await;
    assert_eq!(due.iter().map(|d| d.group).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_failed_fetch_is_tried_again_until_it_is_given_up() {
    let bench = two_pictures().await;
    let fail = |next: Option<Millis>| {
        bench.unit(move |tx, unit| at_once(media_rows::failed(tx, unit, 1, "404", next)))
    };
    fail(Some(Millis(T0 + 50))).await;
    let due = bench
        .read(|tx| at_once(upkeep::due_media(tx, "bot", 0)))
        .await;
    assert_eq!((due[0].next_at, due[0].retry), (Millis(T0 + 50), true));
    assert_eq!(bench.media(1).await.failures, 1);
    fail(None).await;
    assert_eq!(bench.media(1).await.state, "failed");
    let due = bench
        .read(|tx| at_once(upkeep::due_media(tx, "bot", 0)))
        .await;
    assert_eq!(due.iter().map(|d| d.group).collect::<Vec<_>>(), [2]);
    // A fetch that ends after that changes nothing.
    bench.fetched(1).await;
    assert_eq!(bench.media(1).await.state, "failed");
}

#[tokio::test]
async fn a_late_fetch_is_not_written_over_the_attachment_that_replaced_it() {
    let bench = two_pictures().await;
    let edit = Edit {
        target: "m1".to_owned(),
        text: "new".to_owned(),
        attachments: Some(vec![picture("f3")]),
    };
    bench.came(from("ann", "e1", EventBody::Edit(edit))).await;
    bench.fetched(1).await;
    bench.fetched(2).await;
    let shown = bench.message(MessageId(1)).await.attachments;
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].size_bytes, None);
    bench.fetched(3).await;
    let shown = bench.message(MessageId(1)).await.attachments;
    assert_eq!(shown[0].size_bytes, Some(99));
}
