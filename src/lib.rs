//! # Switchboard: one door to every messaging platform
//!
//! The service around the [`switchboard_channels`] crate: everything that waits, stores or listens.
//! Arrows point one way; `store` and `queue` meet only in [`gateway`] and [`reconcile`].
//!
//! | module | does |
//! |---|---|
//! | [`http`] | listens: webhooks, Web API, media, health, metrics, admin; translates, decides nothing |
//! | [`webapi`] | the Web API without HTTP: arguments, functions, errors, shapes |
//! | [`inbound`] | webhook: verify, parse, one transaction, reply |
//! | [`outbound`] | accepted message: lanes, workers, policy, the way out |
//! | [`events`] | to the chat backend: payloads, signatures, delivery |
//! | [`mail`] | connections to mail servers: SMTP and IMAP |
//! | [`media`] | attachments: fetched, kept, served by signed links |
//! | [`mirror`] | shows conversations at a desk (Slack), and brings the answers back |
//! | [`piping`] | fetches mail: mailboxes, one loop each |
//! | [`store`] | the truth |
//! | [`queue`] | the schedule, rebuilt from the truth at any time |
//! | [`reconcile`] | compares the two |
//! | [`sandbox`] | serves the channels' emulators |
//! | [`app`] | puts it together, starts and drains it |

pub mod app;
pub mod cli;
pub mod config;
#[cfg(test)]
mod drift;
pub mod events;
pub mod gateway;
pub mod http;
pub mod inbound;
mod lockfile;
pub mod mail;
pub mod media;
pub mod mirror;
pub mod outbound;
pub mod piping;
pub mod queue;
pub mod reconcile;
pub mod sandbox;
pub mod store;
pub mod telemetry;
pub mod upkeep;
pub mod webapi;
