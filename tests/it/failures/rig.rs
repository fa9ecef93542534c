//! The gateway as operators scale it out: an api process and a worker over PostgreSQL and Redis, each
//! server its own, behind a proxy that can break the connections.

use super::ledger::SECRET;
use crate::world;
use serde_json::{Value, json};
use std::net::SocketAddr;
use switchboard_testkit::servers::{PostgresServer, Proxy, RedisServer};
use switchboard_testkit::{Setup, World};

/// The processes and the servers behind them.
pub(crate) struct Rig {
    /// First, so that it ends before the servers do.
    pub(crate) world: World,
    pub(crate) store: PostgresServer,
    /// Between the gateway and the store.
    pub(crate) to_store: Proxy,
    pub(crate) queue: RedisServer,
    /// Between the gateway and the queue.
    pub(crate) to_queue: Proxy,
}

/// A channel that the ledger can write to.
pub(crate) fn ledger_world() -> Setup {
    ledger_world_with(json!({}))
}

/// The same with further keys of the channel.
pub(crate) fn ledger_world_with(keys: Value) -> Setup {
    let mut keys = keys;
    keys["webhook_secret"] = json!(SECRET);
    world().channel_with("bot", "telegram", keys)
}

impl Rig {
    /// One `api` process (the world's gateway) and one `worker`.
    pub(crate) async fn start(setup: Setup) -> Self {
        let (store, queue) = tokio::task::spawn_blocking(|| {
            // Flushes as in production: it is killed, and must keep what it promised.
            let store = PostgresServer::start(&[]);
            store.sql("postgres", "CREATE DATABASE switchboard");
            (store, RedisServer::start())
        })
        .await
        .unwrap();
        let to_store = Proxy::start(SocketAddr::from(([127, 0, 0, 1], store.port())));
        let to_queue = Proxy::start(queue.address());
        let url = format!("postgres://postgres@{}/switchboard", to_store.address());
        let world = setup
            .emulators_apart()
            .roles(&["api"])
            .set("store.url", json!(url))
            .set("queue.url", json!(queue.url_at(to_queue.address())))
            .start()
            .await;
        world.join("worker", &["--role", "worker"]).await;
        Self {
            world,
            store,
            to_store,
            queue,
            to_queue,
        }
    }
}
