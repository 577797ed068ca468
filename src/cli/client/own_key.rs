//! The user's own key: where it lies, how it is read, what is said when a server does not take it.
//!
//! One file, private key and certificate in PEM, which nobody else may read.

use std::path::PathBuf;

use time::OffsetDateTime;

use crate::cli::{Exit, Failure};
use crate::config::environment;
use sealane_base::fsio;
use sealane_base::types::text::printable;
use sealane_base::types::{Pin, Username};
use sealane_client::ConnectError;
use sealane_client::session::SessionError;
use sealane_protocol::Status;
use sealane_tls::Identity;

const FILE: &str = "key.pem";
/// Largest key file in bytes.
const MAX_FILE: u64 = 64 << 10;

/// A key that may log in somewhere.
#[derive(Debug)]
pub(super) struct OwnKey {
    pub(super) identity: Identity,
    pub(super) path: PathBuf,
}

/// Where the key lies, and whether somebody said so: `--key`, else `SEALANE_KEY`, else beside the
/// known servers.
pub(super) fn place(named: Option<PathBuf>) -> Option<(PathBuf, bool)> {
    let named = named.or_else(environment::key_file);
    let usual = || environment::config_directory().map(|directory| (directory.join(FILE), false));
    named.map(|path| (path, true)).or_else(usual)
}

impl OwnKey {
    /// The user's key; `None` if there is none and none was named.
    pub(super) fn find(named: Option<PathBuf>) -> Result<Option<Self>, Failure> {
        let Some((path, is_named)) = place(named) else { return Ok(None) };
        let pem = match fsio::read_key(&path, MAX_FILE) {
            Ok(pem) => zeroize::Zeroizing::new(pem),
            Err(error) if error.is_not_found() && !is_named => return Ok(None),
            Err(error) => {
                let exit = if error.is_not_found() { Exit::NotFound } else { Exit::Usage };
                let hint = error.hint();
                return Err(Failure::new(exit, error.to_string()).maybe_hint(hint));
            }
        };
        let wrong = |why: String| {
            let shown = printable(&path.to_string_lossy());
            Failure::new(Exit::Usage, format!("the key in '{shown}' cannot be used: {why}"))
                .hint("'sealane key generate' makes one, where there is none yet")
        };
        let identity = Identity::from_pem(&pem, &pem).map_err(|error| wrong(error.to_string()))?;
        let now = OffsetDateTime::now_utc();
        identity.check_as_client(now).map_err(|error| wrong(error.to_string()))?;
        Ok(Some(Self { identity, path }))
    }

    /// As [`OwnKey::find`], where nothing can be done without one.
    pub(super) fn require(named: Option<PathBuf>) -> Result<Self, Failure> {
        Self::find(named)?.ok_or_else(|| {
            Failure::new(Exit::NotFound, "there is no key yet").hint("sealane key generate")
        })
    }

    /// What to say if `error` is that `server` does not take this key for `user`; `None` if it is
    /// something else.
    pub(super) fn refused(
        &self,
        server: &str,
        user: &Username,
        error: &ConnectError,
    ) -> Option<Failure> {
        match error {
            ConnectError::Session(SessionError::Refused(refused)) => match refused.status() {
                Status::KeyRefused => Some(not_accepted(server, user, &self.identity.pin())),
                Status::TooManyFailures => Some(
                    Failure::new(
                        Exit::Login,
                        format!("{server}: too many refused keys from this address"),
                    )
                    .hint("wait a minute and try again, or log in with a password"),
                ),
                _ => None,
            },
            ConnectError::Tls(alert) => alert.about_certificate().map(|why| {
                let shown = printable(&self.path.to_string_lossy());
                Failure::new(
                    Exit::Login,
                    format!("{server} refused the certificate in '{shown}': {why}"),
                )
            }),
            _ => None,
        }
    }
}

fn not_accepted(server: &str, user: &Username, pin: &Pin) -> Failure {
    Failure::new(Exit::Login, format!("{server} does not accept the key {pin} for user {user}"))
        .hint(format!(
            "add it with: sealane-admin account key add {user} {pin}, or log in with a password"
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_not_accepted() {
        let pin = Pin::of_public_key(b"k");
        let failure = not_accepted("h:1", &Username::parse("ann").unwrap(), &pin);
        assert_eq!(failure.exit, Exit::Login);
        assert_eq!(failure.message, format!("h:1 does not accept the key {pin} for user ann"));
        assert_eq!(
            failure.hint.unwrap(),
            format!(
                "add it with: sealane-admin account key add ann {pin}, or log in with a password"
            )
        );
    }
}
