# Shortcuts. Each line can be typed without `just` as well.

# What CI runs.
ci:
    bash tests/all.sh

# One platform: its folder, its laws, its judge (`just channel telegram`).
channel KIND:
    cargo test -p switchboard-channels --test layout
    cargo test -p switchboard-channels --test behaviour -- {{KIND}}
    cargo test -p switchboard-channels --test fuzz
    cargo clippy -p switchboard-channels --all-targets -- -D warnings
    tests/judges/run.sh {{KIND}}

# The platforms' own libraries against the emulators and the gateway.
judges *KINDS:
    tests/judges/run.sh {{KINDS}}

# The table of platforms in README.md.
readme-table:
    cargo run --quiet -- channels --markdown

# Licences, sources and bans of the dependencies (not in CI; see deny.toml).
deny:
    cargo deny --all-features check bans licenses sources
