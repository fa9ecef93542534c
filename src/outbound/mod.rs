//! From an accepted message to the platform's receipt.

pub mod lanes;
pub mod mailer;
pub mod policy;
pub mod transport;
pub mod worker;
