//! `sealane-admin`: a server's directory, address, certificates and accounts.
//!
//! Results on stdout, remarks on stderr. Passwords come from a prompt or a file, never from the
//! command line, and are never printed.

mod account;
mod arguments;
mod keys;
mod lives;
mod migration;
mod password;
mod quota;
mod report_page;
mod running;
mod server;
mod tokens;
mod words;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::parser::ValueSource;

use self::arguments::{Arguments, Command, QuotaCommand, SessionsCommand};
use super::{Exit, Failure, Ui, ui};
use crate::admin::AdminError;
use crate::config::{self, ConfigError, Settings};
use sealane_core::accounts::{AccountError, ManageError};
use sealane_server::sandbox;

/// Runs the program; `arguments` begin with its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (arguments, matches) = match ui::parse::<Arguments>(arguments) {
        Ok(parsed) => parsed,
        Err(exit) => return exit.into(),
    };
    let ui = Ui { json: arguments.json, quiet: arguments.quiet, verbose: false };
    // Passwords and keys are in memory. A system that cannot do it is no reason not to go on.
    let _ = sandbox::keep_secrets();
    // What a hint tells to run must work when it is pasted.
    let is_typed = matches.value_source("config") == Some(ValueSource::CommandLine);
    let config = is_typed.then(|| arguments.config.clone());
    let result = run(ui, arguments).map_err(|failure| match config {
        Some(config) => naming(failure, &config),
        None => failure,
    });
    ui.end(result).into()
}

fn run(ui: Ui, arguments: Arguments) -> Result<(), Failure> {
    let settings = || load(&arguments.config);
    match arguments.command {
        Command::Init { directory, listen } => server::init(ui, &directory, listen),
        Command::Address { user } => server::address(ui, &settings()?, user),
        Command::Cert(command) => server::certificates(ui, &settings, command),
        Command::Calibrate { target_ms } => server::calibrate(ui, &settings()?, target_ms),
        Command::Quota(QuotaCommand::Check { names, repair }) => {
            quota::check(ui, &settings()?, &names, repair)
        }
        Command::Status => running::status(ui, &settings()?),
        Command::Sessions(SessionsCommand::Kill { id, account }) => {
            running::kill(ui, &settings()?, id, account.as_ref())
        }
        Command::Account(command) => account::run(ui, &settings()?, command),
    }
}

/// The failure with this configuration in each command that its hint names.
fn naming(failure: Failure, config: &Path) -> Failure {
    let ours = format!("`sealane-admin --config '{}' ", config.display());
    let hint = failure.hint.map(|hint| hint.replace("`sealane-admin ", &ours));
    Failure { hint, ..failure }
}

fn load(path: &Path) -> Result<Settings, Failure> {
    Ok(config::load(path)?)
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Usage, error.to_string()).maybe_hint(error.hint())
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        let exit = match error {
            AdminError::Manage(error) => return error.into(),
            AdminError::Hash(_) => Exit::Usage,
            AdminError::File(ref file) if file.is_full() => Exit::Space,
            _ if error.is_not_found() => Exit::NotFound,
            _ => Exit::Other,
        };
        let failure = Self::new(exit, error.to_string()).maybe_hint(error.hint());
        match error {
            AdminError::Exists(_) => failure.because_it_exists(),
            AdminError::File(file) if file.is_exists() => failure.because_it_exists(),
            _ => failure,
        }
    }
}

impl From<ManageError> for Failure {
    fn from(error: ManageError) -> Self {
        let (exit, hint) = match &error {
            ManageError::Account(AccountError::NotFound(_)) => {
                (Exit::NotFound, Some("`sealane-admin account list` shows those there are".into()))
            }
            ManageError::Account(AccountError::Exists(name)) => (
                Exit::Other,
                Some(format!("`sealane-admin account passwd {name}` sets a new password")),
            ),
            ManageError::Account(AccountError::File(file)) if file.is_full() => {
                (Exit::Space, file.hint())
            }
            ManageError::Account(AccountError::File(file)) => (Exit::Other, file.hint()),
            ManageError::Account(AccountError::Record { .. }) | ManageError::Hash(_) => {
                (Exit::Other, None)
            }
            ManageError::Home { .. } => (
                Exit::Usage,
                Some("a home is 'homes/NAME', or a path that a [[home_map]] rule covers".into()),
            ),
            ManageError::Keys(name, _) => (
                Exit::Other,
                Some(format!("`sealane-admin account key list {name}` shows its keys")),
            ),
            ManageError::NoKey(name, _) => (
                Exit::NotFound,
                Some(format!("`sealane-admin account key list {name}` shows its keys")),
            ),
            ManageError::Quota => {
                (Exit::Usage, Some("zero is not unlimited: say what there is, such as 10G".into()))
            }
            ManageError::TypedPassword(_) => (Exit::Usage, None),
        };
        let failure = Self::new(exit, error.to_string()).maybe_hint(hint);
        match error {
            ManageError::Account(AccountError::Exists(_)) => failure.because_it_exists(),
            _ => failure,
        }
    }
}
