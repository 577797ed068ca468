//! From an address and flags to a session: which account, which keys, which password.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::{Exit, Failure, errors, password};
use crate::client::{self, Target};
use crate::session::Client;
use crate::types::{Address, Pin, PinSet};

/// What the command line says about who connects to whom.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) pins: Vec<Pin>,
    pub(super) password_file: Option<PathBuf>,
}

impl Access {
    /// Logs in at the server of `address`.
    ///
    /// Without a pin nothing is sent at all: there is no way to trust a server blindly.
    pub(super) async fn login(&self, address: &Address) -> Result<Arc<Client>, Failure> {
        let server = address.host_port();
        let pins = if self.pins.is_empty() { &address.pins } else { &self.pins };
        let pins = PinSet::new(pins.clone()).ok_or_else(|| unknown(&server))?;
        let user = address.user.clone().ok_or_else(|| {
            Failure::new(Exit::Usage, format!("which account at {server}?"))
                .hint(format!("write it into the address: sealane://USER@{server}/…"))
        })?;
        let password = password::of_user(self.password_file.as_deref(), &user, &server)?;
        let target = Target::new(address, user, pins);
        match client::connect(&target, &password).await {
            Ok(client) => Ok(Arc::new(client)),
            Err(error) => Err(errors::connecting(&server, &error)),
        }
    }
}

fn unknown(server: &str) -> Failure {
    Failure::new(
        Exit::Trust,
        format!("{server} is not known and no pin was given; your password was not sent"),
    )
    .hint("use the address from your administrator (…?pin=sha256.…), which 'sealane-admin address' prints, or --pin")
}

/// Closes the session in order; for when the job is done.
pub(super) async fn close(client: Arc<Client>) {
    if let Some(client) = Arc::into_inner(client) {
        client.close().await;
    }
}
