//! Real servers for tests, each instance on a free port and in a folder of its own, and a proxy that
//! breaks connections to them. No test skips for want of a server: it fails.

pub mod dovecot;
mod keeper;
pub mod postgres;
pub mod proxy;
pub mod redis;
pub mod smtp;

pub use dovecot::Dovecot;
pub use postgres::{PostgresDatabase, PostgresServer};
pub use proxy::{Proxy, Way};
pub use redis::RedisServer;
pub use smtp::SmtpServer;
