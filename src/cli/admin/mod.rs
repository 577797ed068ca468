//! `sealane-admin`: a server's directory, address, certificates and accounts.
//!
//! Results on stdout, remarks on stderr. Passwords come from a prompt or a file, never from the
//! command line, and are never printed.

mod account;
mod arguments;
mod keys;
mod migration;
mod password;
mod quota;
mod report_page;
mod running;
mod server;
mod words;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _};

use self::arguments::{Arguments, Command, QuotaCommand, SessionsCommand};
use super::{Exit, Failure, Ui};
use crate::admin::AdminError;
use crate::config::{self, ConfigError, Settings};
use sealane_core::accounts::{AccountError, ManageError};

/// Runs the program; `arguments` begin with its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = Arguments::command().try_get_matches_from(arguments);
    let parsed = matches.and_then(|matches| Ok((Arguments::from_arg_matches(&matches)?, matches)));
    let (arguments, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version end up here too. A closed pipe means that nobody reads on.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Success }.into();
        }
    };
    let ui = Ui { json: arguments.json, quiet: arguments.quiet, verbose: false };
    // What a hint tells to run must work when it is pasted.
    let is_typed = matches.value_source("config") == Some(ValueSource::CommandLine);
    let config = is_typed.then(|| arguments.config.clone());
    match run(ui, arguments) {
        Ok(()) => Exit::Success.into(),
        Err(failure) => {
            let failure = match config {
                Some(config) => naming(failure, &config),
                None => failure,
            };
            ui.failure(&failure);
            failure.exit.into()
        }
    }
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
        Self { message: error.to_string(), hint: error.hint(), exit: Exit::Usage }
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
        Self { message: error.to_string(), hint: error.hint(), exit }
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
        Self { message: error.to_string(), hint, exit }
    }
}
