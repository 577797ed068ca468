//! The client: see `sealane --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sealane::cli::client::main()
}
