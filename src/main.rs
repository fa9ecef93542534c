//! The `switchboard` program: the command line, and the exit code that it comes to.

use std::process::ExitCode;

fn main() -> ExitCode {
    // TLS has one cryptography provider for the whole process, and whoever opens a connection before
    // it is chosen panics. It is refused only when one is chosen already, which is as good.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    switchboard::cli::run()
}
