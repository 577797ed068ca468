//! Accounts and certificates of a server; everything is in [`sealane::cli::admin`].

use std::process::ExitCode;

fn main() -> ExitCode {
    sealane::cli::admin::main(std::env::args_os())
}
