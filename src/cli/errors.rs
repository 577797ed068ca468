//! From the errors of the rooms below to words, hints and exit codes.

use super::{Exit, Failure};
use crate::client::ConnectError;
use crate::protocol::Status;
use crate::protocol::message::Refused;
use crate::session::SessionError;
use crate::storage::StorageError;
use crate::tls::TlsError;
use crate::transfer::TransferError;
use crate::types::size::human;
use crate::wire::WireError;

/// Why there is no session with `server` (`host:port`).
pub(super) fn connecting(server: &str, error: &ConnectError) -> Failure {
    match error {
        ConnectError::Network(error) => {
            Failure::new(Exit::Network, format!("cannot reach {server}: {error}"))
                .hint("is the server running, and do host and port of the address fit it?")
        }
        ConnectError::Timeout(_) => {
            Failure::new(Exit::Network, format!("cannot reach {server}: {error}"))
                .hint("is a firewall in between?")
        }
        ConnectError::Tls(error) => untrusted(server, error),
        ConnectError::Session(error) => session(server, error),
    }
}

/// Why the server at `server` was not believed.
fn untrusted(server: &str, error: &TlsError) -> Failure {
    let trust = |message: String| Failure::new(Exit::Trust, message);
    match error {
        TlsError::PinMismatch(mismatch) => {
            let expected: Vec<_> = mismatch.expected.iter().map(ToString::to_string).collect();
            trust(format!(
                "the key of {server} does not match its pin; nothing was sent. expected: {}. \
                 received: {}. someone may be intercepting this connection, or the server was \
                 installed anew",
                expected.join(", "),
                mismatch.received
            ))
            .hint("ask the administrator over another channel what 'sealane-admin address' prints")
        }
        TlsError::BadProof => trust(format!(
            "{server} showed the right certificate but could not prove that it owns the key; \
             nothing was sent"
        ))
        .hint("somebody is impersonating the server: do not go on over this network"),
        TlsError::NotSealane => trust(format!(
            "{server} speaks TLS but is not a sealane server (no \"sealane/1\" in ALPN)"
        ))
        .hint("do host and port of the address fit the server?"),
        TlsError::NoTls13 => trust(format!("{server} does not offer TLS 1.3"))
            .hint("do host and port of the address fit the server?"),
        TlsError::NotTls => trust(format!("{server} does not speak TLS"))
            .hint("do host and port of the address fit the server?"),
        TlsError::Closed | TlsError::Io(_) => {
            Failure::new(Exit::Network, format!("the connection to {server} failed: {error}"))
        }
        error => trust(format!("the handshake with {server} failed: {error}")),
    }
}

/// Why something could not be done with `what`: a path, an address, an account.
pub(super) fn session(what: &str, error: &SessionError) -> Failure {
    match error {
        SessionError::Connection(error) => connection(what, error),
        SessionError::Refused(refused) => refusal(what, refused, &error.to_string()),
        SessionError::Transfer(error) => transfer(what, error),
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
        Status::TooManyFailures => failure(Exit::Login, format!("{what}: {text}")).hint(
            "wait some minutes, log in from where you logged in before, or ask for \
             'sealane-admin account unblock NAME'",
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
        Status::TooLarge => failure(Exit::Space, format!("{what}: {text}")),
        Status::NotFound => failure(Exit::NotFound, format!("{what}: {text}"))
            .hint("'sealane ls' shows what is there; 'sealane mkdir' makes a directory"),
        Status::Exists => failure(Exit::Other, format!("{what}: {text}")),
        Status::NotEmpty => {
            failure(Exit::Other, format!("{what}: {text}")).hint("-r removes all it holds")
        }
        Status::IsDirectory => failure(Exit::Other, format!("{what}: {text}"))
            .hint("end the path with a slash to mean the directory, or name a file in it"),
        Status::Changed | Status::InUse => {
            failure(Exit::Integrity, format!("{what}: {text}")).hint("run the same command again")
        }
        Status::Integrity => failure(Exit::Integrity, format!("{what}: {text}")),
        Status::Busy | Status::ShuttingDown => {
            failure(Exit::Network, format!("{what}: {text}")).hint("try again later")
        }
        Status::Version | Status::Internal => failure(Exit::Network, format!("{what}: {text}")),
        _ => failure(Exit::Other, format!("{what}: {text}")),
    }
}

fn transfer(what: &str, error: &TransferError) -> Failure {
    match error {
        TransferError::Storage(error) => storage(what, error),
        TransferError::Interrupted => Failure::new(Exit::Network, format!("{what}: {error}"))
            .hint("run the same command again: it goes on where it stopped"),
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
        StorageError::InUse => {
            (Exit::Other, Some("another sealane is fetching the same file; wait for it to end"))
        }
        StorageError::IsDirectory => {
            (Exit::Other, Some("name the files in it: sealane put DIR/* ADDRESS"))
        }
        _ => (Exit::Other, None),
    };
    let failure = Failure::new(exit, format!("{what}: {error}"));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
