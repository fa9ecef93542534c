//! Mail as it is written: addresses, ids and tokens of ours, and the relay that the sandbox speaks.

pub mod address;
pub mod date;
pub mod ids;
pub mod relay;
