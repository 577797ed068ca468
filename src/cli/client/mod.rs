//! `sealane`: flags as typed, and which job they mean.

mod args;
mod clashes;
mod deletions;
mod files;
mod key;
mod move_files;
mod moving;
mod names;
mod own_key;
mod partials;
mod progress;
mod receipts;
mod remembered;
mod remote;
mod report;
mod sync;
mod trees;
mod trust;
mod verify;

use std::process::ExitCode;
use std::time::Duration;

use indicatif::ProgressBar;

use self::args::{Arguments, Command, Partial, ReceiptCommand};
use self::remote::Access;
use super::{Exit, Failure, Ui, ui};
use sealane_client::{RateLimit, Retry};
use sealane_server::sandbox;

/// Time within which a Ctrl-C is heeded.
const HEEDED: Duration = Duration::from_secs(2);

/// Runs the client with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match ui::parse::<Arguments>(args::with_dashes(std::env::args_os())) {
        Ok((arguments, _)) => arguments,
        Err(exit) => return exit.into(),
    };
    let ui = Ui { json: arguments.json, quiet: arguments.quiet, verbose: arguments.verbose };
    // Passwords and keys are in memory. A system that cannot do it is no reason not to go on.
    let _ = sandbox::keep_secrets();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            ui.failure(&Failure::new(Exit::Other, format!("cannot start: {error}")));
            return Exit::Other.into();
        }
    };
    runtime.spawn(end_at_once());
    let result = runtime.block_on(async {
        tokio::select! {
            result = run(ui, arguments) => result,
            () = interrupted() => Err(Failure::new(Exit::Interrupted, "interrupted")
                .hint("run the same command again: it goes on where it stopped")),
        }
    });
    // Threads of an interrupted transfer may still wait for the network: they need not be waited
    // for.
    runtime.shutdown_background();
    ui.end(result).into()
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await; // no signal handling here: the default ends the process
    }
}

/// A second Ctrl-C ends the program wherever it is, and so does the first one if it is not heeded,
/// because something waits for a person or a pipe.
async fn end_at_once() {
    interrupted().await;
    tokio::select! {
        () = interrupted() => {}
        () = tokio::time::sleep(HEEDED) => {}
    }
    std::process::exit(i32::from(Exit::Interrupted as u8));
}

async fn run(ui: Ui, arguments: Arguments) -> Result<(), Failure> {
    let access = Access {
        ui,
        pins: arguments.pins,
        accept_new: arguments.accept_new,
        password_file: arguments.password_file,
        retry: Retry { deadline: arguments.retry_for, ..Retry::default() },
        bar: ProgressBar::hidden(),
        limit: arguments.limit_rate.map(RateLimit::new),
        durable_progress: arguments.durable_progress,
        key: arguments.key,
    };
    super::signals::outlast_large_files()?;
    match arguments.command {
        Command::Put(put) => move_files::put(&access, put).await,
        Command::Get(get) => move_files::get(ui, &access, get).await,
        Command::Sync(sync) => sync::sync(&access, sync).await,
        Command::Ls(list) => files::list(ui, &access, list).await,
        Command::Stat(stat) => files::stat(ui, &access, &stat.address).await,
        Command::Mkdir(make) => files::make_directory(ui, &access, make).await,
        Command::Rm(remove) => files::remove(ui, &access, remove).await,
        Command::Mv(rename) => files::rename(ui, &access, rename).await,
        Command::Df(usage) => files::usage(ui, &access, &usage.address).await,
        Command::Partial(Partial::Ls(list)) => partials::list(ui, &access, &list.address).await,
        Command::Partial(Partial::Rm(remove)) => partials::remove(ui, &access, remove).await,
        Command::Verify(verify) => verify::verify(&access, verify).await,
        Command::Receipt(ReceiptCommand::Check(check)) => {
            receipts::check(ui, &access, &check).await
        }
        Command::Key(command) => key::run(ui, &access, command).await,
        Command::Trust(command) => trust::run(ui, &access, command).await,
    }
}
