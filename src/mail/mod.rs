//! Connections to mail servers: the one way out that is no HTTP.
//!
//! | module | |
//! |---|---|
//! | [`stream`] | TCP and TLS, bounded in time |
//! | [`smtp`] | one SMTP connection and its transactions |
//! | [`imap`] | a mailbox, opened and logged in to |
//! | [`kept`] | raw mails, as they were fetched |
//!
//! Who decides what an answer means, how often something is tried and what is stored stands
//! elsewhere: `outbound::mailer` keeps the SMTP connections, `piping` reads the mailboxes.
//!
//! Names of users and passwords go to the server and nowhere else: not into errors, not into logs.

pub mod imap;
pub mod kept;
pub mod smtp;
pub mod stream;
