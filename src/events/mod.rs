//! Telling the chat backend what happened: payloads and signatures are pure, delivery is a lane like
//! any other.

pub mod deliver;
pub mod payload;
pub mod sign;
