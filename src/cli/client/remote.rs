//! From an address and flags to a session: which account, which keys, which password.

use std::path::PathBuf;
use std::sync::Arc;

use indicatif::ProgressBar;
use serde_json::json;

use super::trusted::{self, Trusted};
use crate::cli::{Exit, Failure, Ui, password, untrusted};
use crate::client::{self, Dialling, Link, LinkEvent, Retry, Target, Ways};
use crate::session::Client;
use crate::trust::KnownServer;
use crate::types::{Address, Pin, Secret};

/// What the command line says about who connects to whom.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) ui: Ui,
    pub(super) pins: Vec<Pin>,
    pub(super) accept_new: bool,
    pub(super) password_file: Option<PathBuf>,
    /// How long a connection that failed is sought again.
    pub(super) retry: Retry,
    /// What notes must be printed around; hidden until there is something to draw.
    pub(super) bar: ProgressBar,
}

impl Access {
    /// Logs in at the server of `address`.
    ///
    /// A server that has proved no key that is trusted is sent nothing at all.
    pub(super) async fn login(&self, address: &Address) -> Result<Arc<Client>, Failure> {
        Ok(Arc::new(self.begin(address).await?.0))
    }

    /// Logs in at the server of `address`, and again whenever the connection fails, with the same keys
    /// accepted and the same password. The first connection is not tried again: a wrong address is said
    /// at once.
    pub(super) async fn link(&self, address: &Address) -> Result<Remote, Failure> {
        let (client, target, password, trusted) = self.begin(address).await?;
        let server = address.host_port();
        let dial = move || -> Dialling {
            let (target, password) = (target.clone(), password.clone());
            Box::pin(async move { client::connect(&target, &password).await })
        };
        let (ui, bar, place) = (self.ui, self.bar.clone(), server.clone());
        let told = move |event: LinkEvent<'_>| bar.suspend(|| tell(ui, &place, &event));
        let chance = || getrandom::u32().unwrap_or(u32::MAX);
        let (dial, chance, told) = (Box::new(dial), Box::new(chance), Box::new(told));
        let link = Link::new(client, Ways { dial, retry: self.retry, chance, told });
        Ok(Remote { link, server, known: trusted.known })
    }

    async fn begin(&self, address: &Address) -> Result<(Client, Target, Secret, Trusted), Failure> {
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
        Ok((client, target, password, trusted))
    }
}

/// A server with a session that is had again when it fails.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) link: Arc<Link>,
    server: String,
    known: Option<KnownServer>,
}

impl Remote {
    /// Why there is no session any more, if it is so.
    pub(super) fn lost(&self) -> Option<Failure> {
        let failure = untrusted::connecting(&self.server, self.link.over()?, self.known.as_ref());
        Some(match failure.exit {
            Exit::Network => {
                failure.hint("run the same command again: it goes on where it stopped")
            }
            _ => failure,
        })
    }

    /// Closes the session in order; for when the job is done.
    pub(super) async fn close(self) {
        self.link.close().await;
    }
}

fn tell(ui: Ui, server: &str, event: &LinkEvent<'_>) {
    let (state, why, seconds) = match event {
        LinkEvent::Lost(why) => ("lost", Some(why.to_string()), None),
        LinkEvent::InVain(why) => ("in vain", Some(why.to_string()), None),
        LinkEvent::Back(after) => ("back", None, Some(after.as_secs_f64())),
    };
    ui.object(&json!({
        "type": "reconnect", "state": state, "server": server, "why": why, "seconds": seconds,
    }));
    let why = why.unwrap_or_default();
    match event {
        LinkEvent::Lost(_) => ui.note(&format!("{server}: {why}; connecting again")),
        LinkEvent::InVain(_) => ui.detail(&format!("{server}: {why}; trying again")),
        LinkEvent::Back(after) => {
            ui.note(&format!("{server}: connected again after {:.1} s", after.as_secs_f64()));
        }
    }
}

/// Closes the session in order; for when the job is done.
pub(super) async fn close(client: Arc<Client>) {
    if let Some(client) = Arc::into_inner(client) {
        client.close().await;
    }
}
