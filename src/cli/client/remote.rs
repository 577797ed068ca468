//! From an address and flags to a session: which account, which keys, which password.

use std::path::PathBuf;
use std::sync::Arc;

use super::trusted;
use crate::cli::{Exit, Failure, Ui, password, untrusted};
use crate::client::{self, Target};
use crate::session::Client;
use crate::types::{Address, Pin};

/// What the command line says about who connects to whom.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) ui: Ui,
    pub(super) pins: Vec<Pin>,
    pub(super) accept_new: bool,
    pub(super) password_file: Option<PathBuf>,
}

impl Access {
    /// Logs in at the server of `address`.
    ///
    /// A server that has proved no key that is trusted is sent nothing at all.
    pub(super) async fn login(&self, address: &Address) -> Result<Arc<Client>, Failure> {
        let server = address.host_port();
        let user = address.user.clone().ok_or_else(|| {
            Failure::new(Exit::Usage, format!("which account at {server}?"))
                .hint(format!("write it into the address: sealane://USER@{server}/…"))
        })?;
        let trusted = trusted::decide(self, address).await?;
        let password = password::of_user(self.password_file.as_deref(), &user, &server)?;
        let target = Target::new(address, user, trusted.pins.clone());
        let why = |error| untrusted::connecting(&server, &error, trusted.known.as_ref());
        let secured = client::secure(&target).await.map_err(why)?;
        self.ui.detail(&format!("connected; congestion control {}", secured.congestion()));
        trusted.proved(self.ui, secured.pin())?;
        let proved = secured.pin();
        let (client, announced) = secured.login(&target.user, &password).await.map_err(why)?;
        if let Some(announced) = announced {
            trusted.learn(self.ui, &proved, &announced);
        }
        Ok(Arc::new(client))
    }
}

/// Closes the session in order; for when the job is done.
pub(super) async fn close(client: Arc<Client>) {
    if let Some(client) = Arc::into_inner(client) {
        client.close().await;
    }
}
