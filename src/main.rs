//! The `switchboard` program: the command line, and the exit code that it comes to.

use std::process::ExitCode;

/// Messages are many small pieces, allocated on one thread and freed on another: with the system's
/// allocator a seventh of the gateway's time goes into that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // TLS has one cryptography provider for the whole process, and whoever opens a connection before
    // it is chosen panics. It is refused only when one is chosen already, which is as good.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    switchboard::cli::run()
}
