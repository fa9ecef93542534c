//! Switchboard: one door to every messaging platform.

pub mod app;
pub mod cli;
pub mod config;
pub mod telemetry;
