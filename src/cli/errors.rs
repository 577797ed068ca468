//! From the errors of the rooms below to words, hints and exit codes.

use super::{Exit, Failure};
use sealane_base::files::StorageError;
use sealane_base::types::size::human;
use sealane_client::session::SessionError;
use sealane_protocol::Status;
use sealane_protocol::message::Refused;
use sealane_protocol::transfer::TransferError;
use sealane_protocol::wire::WireError;

/// Why something could not be done with `what`: a path, an address, an account.
pub(super) fn session(what: &str, error: &SessionError) -> Failure {
    match error {
        SessionError::Connection(error) => connection(what, error),
        SessionError::Refused(refused) => refusal(what, refused, &error.to_string()),
        SessionError::Transfer(error) => transfer(what, error),
        SessionError::TooLong { .. } => Failure::new(Exit::Other, format!("{what}: {error}"))
            .hint("name a directory that holds less, one after another"),
        SessionError::Answer(_) => Failure::new(Exit::Network, format!("{what}: {error}"))
            .hint("is the server of the same version?"),
    }
}

fn connection(what: &str, error: &WireError) -> Failure {
    let failure = Failure::new(Exit::Network, format!("{what}: {error}"));
    match error {
        WireError::Frame(_) => failure.hint("is the server of the same version?"),
        _ => failure.hint("run the same command again: it goes on where it stopped"),
    }
}

fn refusal(what: &str, refused: &Refused, text: &str) -> Failure {
    let status = refused.status();
    let failure = |exit: Exit, message: String| Failure::new(exit, message);
    match status {
        Status::LoginRefused => failure(Exit::Login, format!("{what}: {text}")).hint(
            "account or password is wrong, or the account is disabled; the server's log says which",
        ),
        Status::KeyRefused => failure(Exit::Login, format!("{what}: {text}")).hint(
            "it may have been revoked, or has expired: 'sealane key enroll' enters it again, and a password does without",
        ),
        Status::NotEnrolled => failure(Exit::Other, format!("{what}: the key was not enrolled: {text}")),
        Status::Forbidden => failure(Exit::Other, format!("{what}: {text}")).hint(
            "it was given other permissions: ask for 'sealane-admin account key list', or log in with a password",
        ),
        Status::TooManyFailures => failure(Exit::Login, format!("{what}: {text}")).hint(
            "the delay is for this address, or for places the account has not logged in from, and ends by \
             itself; the administrator can end it with 'sealane-admin account unblock NAME --source IP'",
        ),
        Status::ResetRequired => failure(Exit::Login, format!("{what}: {text}")).hint(
            "your password was right, but it was stored in an old form for too long: ask for a new one \
             (sealane-admin account passwd NAME)",
        ),
        Status::Quota => {
            let (short, limit) = (refused.short.unwrap_or(0), refused.limit.unwrap_or(0));
            failure(
                Exit::Space,
                format!("{what}: {text}: {} short of {} ({short} bytes)", human(short), human(limit)),
            )
            .hint("make room with 'sealane rm', or ask for more; while a file is replaced, old and new both count")
        }
        Status::DiskFull => {
            let short = refused.short.map(|short| format!(": {} short", human(short)));
            failure(Exit::Space, format!("{what}: {text}{}", short.unwrap_or_default()))
                .hint("the administrator must make room on the server")
        }
        Status::TooManyFiles => failure(Exit::Space, format!("{what}: {text}"))
            .hint("remove some with 'sealane rm', or ask the administrator: 'files_per_account' in the server's configuration"),
        Status::TooManyPartials => failure(Exit::Space, format!("{what}: {text}"))
            .hint("'sealane partial ls' shows them, and 'sealane partial rm' removes those that nobody will go on with"),
        Status::TooLarge => failure(Exit::Space, format!("{what}: {text}")),
        Status::NotFound => failure(Exit::NotFound, format!("{what}: {text}"))
            .hint("'sealane ls' shows what is there"),
        Status::Exists => failure(Exit::Other, format!("{what}: {text}")).because_it_exists(),
        Status::NotEmpty => {
            failure(Exit::Other, format!("{what}: {text}")).hint("-r removes all it holds")
        }
        Status::IsDirectory => failure(Exit::Other, format!("{what}: {text}"))
            .hint("-r brings a directory with all it holds, or name a file in it"),
        Status::Changed | Status::InUse => {
            failure(Exit::Integrity, format!("{what}: {text}")).hint("run the same command again")
        }
        Status::Integrity => failure(Exit::Integrity, format!("{what}: {text}")),
        Status::Busy | Status::ShuttingDown => {
            failure(Exit::Network, format!("{what}: {text}")).hint("try again later")
        }
        Status::Stalled | Status::Version | Status::Internal => failure(Exit::Network, format!("{what}: {text}")),
        _ => failure(Exit::Other, format!("{what}: {text}")),
    }
}

fn transfer(what: &str, error: &TransferError) -> Failure {
    match error {
        TransferError::Storage(error) => storage(what, error),
        TransferError::Interrupted | TransferError::Stalled => {
            Failure::new(Exit::Network, format!("{what}: {error}"))
                .hint("run the same command again: it goes on where it stopped")
        }
        TransferError::Chunk { .. } | TransferError::Root { .. } => {
            Failure::new(Exit::Integrity, format!("{what}: {error}")).hint(
                "run the same command again; if it happens again, memory or disk may be failing",
            )
        }
        TransferError::Protocol(_) | TransferError::Thread => {
            Failure::new(Exit::Other, format!("{what}: {error}"))
        }
    }
}

/// Why a file of this machine could not be read or written.
pub(super) fn storage(what: &str, error: &StorageError) -> Failure {
    let (exit, hint) = match error {
        StorageError::NotFound => (Exit::NotFound, None),
        StorageError::Changed => {
            (Exit::Integrity, Some("run the same command again once nothing writes to it"))
        }
        StorageError::DiskFull { .. } | StorageError::Quota { .. } => (
            Exit::Space,
            Some("make room and run the same command again: it goes on where it stopped"),
        ),
        StorageError::LargerThanAllowed => (
            Exit::Space,
            Some(
                "'ulimit -f' shows the limit of this shell; file systems have limits of their own",
            ),
        ),
        StorageError::InUse => {
            (Exit::Other, Some("another sealane is fetching the same file; wait for it to end"))
        }
        StorageError::IsDirectory => (Exit::Other, Some("-r sends a directory with all it holds")),
        _ => (Exit::Other, None),
    };
    let failure = Failure::new(exit, format!("{what}: {error}"));
    let failure = match error {
        StorageError::Exists => failure.because_it_exists(),
        _ => failure,
    };
    failure.maybe_hint(hint.map(str::to_owned))
}
