//! The server: see `sealaned --help`.

use std::process::ExitCode;

/// Gives memory back to the system soon after a login or a transfer: with the system's allocator
/// every thread that has once evaluated argon2 may keep its 19 MiB.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sealane::cli::server::main()
}
