use super::super::Priority;
use super::super::gcra::Rate;
use super::super::suite::{Clock, Lanes, every_law};
use super::*;
use futures_util::future::BoxFuture;

/// The paused clock of the runtime.
struct Paused;

#[async_trait]
impl Clock for Paused {
    async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
    }
}

fn open(lanes: Lanes) -> BoxFuture<'static, (Arc<dyn Queue>, Arc<dyn Clock>)> {
    Box::pin(async {
        let queue: Arc<dyn Queue> = MemoryQueue::new(lanes, 0);
        let clock: Arc<dyn Clock> = Arc::new(Paused);
        (queue, clock)
    })
}

every_law!(open => #[tokio::test(start_paused = true)]);

#[test]
fn it_does_what_its_model_does() {
    super::super::model_test::check(1500, open, || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    });
}

fn unlimited() -> Limits {
    Limits {
        rate: Rate::new(1e6, 1_000_000),
        recipient: None,
        max_leases: None,
        lease: Duration::from_secs(60),
        breaker_failures: 5,
        breaker_rest: Duration::from_secs(30),
    }
}

#[tokio::test(start_paused = true)]
async fn full_buckets_are_swept() {
    let second = Rate::new(1.0, 1);
    let limits = Limits {
        recipient: Some(second),
        ..unlimited()
    };
    let lane = LaneId::channel("one");
    let queue = MemoryQueue::new([(lane.clone(), limits)], 0);
    for recipient in 0..20_000 {
        assert_eq!(queue.take(&lane, recipient, 1).await.unwrap(), Ok(()));
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    // A thousand recipients are still owed a pause; the others need no bucket.
    let kept = queue.lock(&lane).unwrap().buckets();
    assert!((1000..5000).contains(&kept), "{kept} buckets are kept");
    assert!(queue.take(&lane, 19_999, 1).await.unwrap().is_err());
    assert_eq!(queue.take(&lane, 1, 1).await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_lane_takes_no_more_room_than_it_once_needed() {
    let lane = LaneId::channel("one");
    let queue = MemoryQueue::new([(lane.clone(), unlimited())], 0);
    for round in 0..50 {
        // Some come every time, some never again.
        let due: Vec<Due> = (0..100)
            .map(|n| if n < 20 { n } else { round * 1000 + n })
            .map(|group| Due::now(group, Priority::Normal))
            .collect();
        queue.schedule(&lane, &due).await.unwrap();
        let leases = queue.claim(&lane, 1000).await.unwrap().leases;
        let came: Vec<Group> = leases.iter().map(|lease| lease.group).collect();
        let wanted: Vec<Group> = due.iter().map(|due| due.group).collect();
        assert_eq!(came, wanted);
        for lease in leases {
            queue.finish(&lane, lease, None).await.unwrap();
        }
    }
    let slots = queue.lock(&lane).unwrap().slots();
    assert!((100..200).contains(&slots), "{slots} slots for 100 groups");
}
