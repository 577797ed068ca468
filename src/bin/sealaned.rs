//! The server: see `sealaned --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sealane::cli::server::main()
}
