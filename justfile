# The habits. `just` lists them.

_list:
    @just --list

# a quick look while writing: types and lints
check:
    cargo clippy --all-targets
    cargo run --quiet -- check

# everything that must hold before a commit is shared
test *flags:
    ./scripts/test {{ flags }}

# the main job, offline: a webhook becomes rows
demo *flags:
    cargo run --release -- demo {{ flags }}

# how fast, on this machine
bench *flags:
    cargo bench {{ flags }}
