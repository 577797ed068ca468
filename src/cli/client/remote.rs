//! From an address and flags to a client, and what the terminal answers and prints on the way.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::ProgressBar;
use serde_json::json;

use super::names;
use super::own_key::OwnKey;
use crate::cli::{Exit, Failure, Ui, errors, password, untrusted};
use sealane_base::types::{Address, Pin, RemotePath, Secret, Username};
use sealane_client::session::SessionError;
use sealane_client::{
    Client, ConnectError, Connector, Event, PromptError, Prompts, RateLimit, Retry, Trust,
};
use sealane_tls::trust::{HostPort, Source};

/// What the command line says about who connects to whom.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) ui: Ui,
    pub(super) pins: Vec<Pin>,
    pub(super) accept_new: bool,
    pub(super) password_file: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    /// How long a lost connection is retried.
    pub(super) retry: Retry,
    /// What notes must be printed around; hidden until there is something to draw.
    pub(super) bar: ProgressBar,
    /// No faster than this.
    pub(super) limit: Option<RateLimit>,
    /// The bar shows what is durable.
    pub(super) durable_progress: bool,
}

/// What kind of job a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Requests.
    Requests,
    /// Files that are moved: the output begins with an object for it.
    Files,
    /// A stream, which comes once and in order: one connection, and no other after it.
    Stream,
}

impl Access {
    /// Which keys are trusted.
    pub(super) fn trust(&self) -> Trust {
        let (pins, accept_new) = (self.pins.clone(), self.accept_new);
        Trust { store: names::store(), pins, accept_new }
    }

    /// The terminal, for a connection to `address` with `key`.
    fn terminal(&self, address: &Address, key: Option<OwnKey>, job: Job) -> Terminal {
        let (host_port, server) = (HostPort::of(address), address.host_port());
        let user = address.user.clone();
        let (ui, bar, password_file) = (self.ui, self.bar.clone(), self.password_file.clone());
        let by_password = AtomicBool::new(false);
        Terminal { ui, bar, password_file, host_port, server, user, key, by_password, job }
    }

    fn connector(&self, terminal: &Arc<Terminal>) -> Connector {
        let mut connector = Connector::new(names::store(), terminal.clone());
        connector.trust = self.trust();
        connector.limit = self.limit.clone();
        connector.retry = self.retry;
        connector
    }

    /// Begins a session with the server of `address`, with the user's key or a password. Requests
    /// may be sent at once. Nothing may be printed before one is answered, or
    /// [`Client::logged_in`].
    pub(super) async fn connect(&self, address: &Address, job: Job) -> Result<Remote, Failure> {
        let key = OwnKey::find(self.key.clone())?;
        let identity = key.as_ref().map(|key| key.identity.clone());
        let terminal = Arc::new(self.terminal(address, key, job));
        let mut connector = self.connector(&terminal);
        connector.key = identity;
        if job == Job::Stream {
            connector.single = true;
            connector.once = true;
        }
        let client = connector.connect(address).await;
        let client = client.map_err(|error| terminal.failure(&error))?;
        Ok(Remote { client, terminal })
    }

    /// Logs in with the password over a connection that proves `key`, too.
    pub(super) async fn connect_to_enroll(
        &self,
        address: &Address,
        key: OwnKey,
    ) -> Result<Remote, Failure> {
        let identity = key.identity.clone();
        let terminal = Arc::new(self.terminal(address, Some(key), Job::Requests));
        let client = self.connector(&terminal).connect_to_enroll(address, &identity).await;
        let client = client.map_err(|error| {
            let is_about_key = matches!(error, ConnectError::Tls(_));
            terminal.by_password.store(!is_about_key, Ordering::Relaxed);
            terminal.failure(&error)
        })?;
        Ok(Remote { client, terminal })
    }

    /// Whether `key` alone logs in at the server of `address`.
    pub(super) async fn accepts(&self, address: &Address, key: &OwnKey) -> bool {
        let terminal = Arc::new(self.terminal(address, None, Job::Requests));
        self.connector(&terminal).accepts(address, &key.identity).await
    }

    /// Finds out the key of an unknown server.
    pub(super) async fn first_contact(
        &self,
        host_port: &HostPort,
    ) -> Result<(Pin, Source), Failure> {
        let (host, path) = (host_port.host().to_owned(), RemotePath::default());
        let (user, port, pins) = (None, host_port.port(), Vec::new());
        let address = Address { user, host, port, path, is_directory: true, pins };
        let terminal = Arc::new(self.terminal(&address, None, Job::Requests));
        let prompts = terminal.clone() as Arc<dyn Prompts>;
        let found = self.trust().first_contact(host_port, &prompts).await;
        found.map_err(|error| terminal.failure(&error))
    }
}

/// Who types, and where the events of a connection are printed.
#[derive(Debug)]
struct Terminal {
    ui: Ui,
    bar: ProgressBar,
    password_file: Option<PathBuf>,
    host_port: HostPort,
    server: String,
    user: Option<Username>,
    key: Option<OwnKey>,
    /// The key was not accepted, so that what is said later is about the password.
    by_password: AtomicBool,
    job: Job,
}

impl Prompts for Terminal {
    fn password(&self, user: &Username, server: &str) -> Result<Secret, PromptError> {
        Ok(password::of_user(self.password_file.as_deref(), user, server)?)
    }

    fn has_password(&self) -> bool {
        password::is_given(self.password_file.as_deref()) || password::can_be_asked()
    }

    fn can_confirm(&self) -> bool {
        self.ui.can_ask()
    }

    fn confirm(&self, server: &str, pin: &Pin) -> String {
        self.ui.ask(&untrusted::question(server, pin)).unwrap_or_default()
    }

    fn event(&self, _: &str, event: Event<'_>) {
        self.bar.suspend(|| self.tell(&event));
    }
}

impl Terminal {
    fn tell(&self, event: &Event<'_>) {
        let (ui, server) = (self.ui, &self.server);
        match event {
            Event::Secured(congestion) => {
                ui.detail(&format!("connected; congestion control {congestion}"));
            }
            Event::Remembered(pin) => {
                let aloud = pin.read_aloud();
                ui.note(&format!("{server} is known from now on by {pin} ({aloud})"));
            }
            Event::Learned(pin) => ui.note(&untrusted::learned(server, pin)),
            Event::NotLearned(why) => {
                ui.note(&format!("the keys of {server} were not learned: {why}"));
            }
            Event::NotNoted(why) => ui.detail(&why.to_string()),
            Event::KeyRefused(error) => {
                let refused = self.failure(error);
                self.by_password.store(true, Ordering::Relaxed);
                match password::given(self.password_file.as_deref()) {
                    Ok(Some(_)) => ui.detail(&refused.message),
                    _ => ui.note(&refused.message),
                }
            }
            Event::LoggedIn if self.job == Job::Files => {
                ui.object(&json!({ "type": "start", "server": server }));
            }
            Event::LoggedIn => {}
            Event::Waiting(why) => {
                self.reconnect("waiting", Some(why.to_string()), None);
                ui.note(&format!("{server}: {why}; trying again"));
            }
            Event::Lost(why) => {
                self.reconnect("lost", Some(why.to_string()), None);
                ui.note(&format!("{server}: {why}; connecting again"));
            }
            Event::RetryFailed(why) => {
                self.reconnect("in vain", Some(why.to_string()), None);
                ui.detail(&format!("{server}: {why}; trying again"));
            }
            Event::Reconnected(after) => {
                let seconds = after.as_secs_f64();
                self.reconnect("back", None, Some(seconds));
                ui.note(&format!("{server}: connected again after {seconds:.1} s"));
            }
        }
    }

    fn reconnect(&self, state: &str, why: Option<String>, seconds: Option<f64>) {
        self.ui.object(&json!({
            "type": "reconnect", "state": state, "server": self.server, "why": why, "seconds": seconds,
        }));
    }

    /// Why there is no session.
    fn failure(&self, error: &ConnectError) -> Failure {
        let server = &self.server;
        let key = self.key.as_ref().filter(|_| !self.by_password.load(Ordering::Relaxed));
        let refused = key.zip(self.user.as_ref());
        let refused = refused.and_then(|(key, user)| key.refused(server, user, error));
        refused.unwrap_or_else(|| {
            let known = names::store().load().ok();
            let known = known.as_ref().and_then(|known| known.at(&self.host_port));
            untrusted::connecting(server, error, known)
        })
    }
}

/// A client, and what is printed if it fails.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) client: Client,
    terminal: Arc<Terminal>,
}

impl Remote {
    /// `host:port` of the server.
    pub(super) fn server(&self) -> &str {
        &self.terminal.server
    }

    /// Why there is no session any more, if it is so.
    pub(super) fn lost(&self) -> Option<Failure> {
        let failure = self.terminal.failure(self.client.failure()?);
        Some(match failure.exit {
            Exit::Network => {
                failure.hint("run the same command again: it goes on where it stopped")
            }
            _ => failure,
        })
    }

    /// Why something could not be done with `what`: a failed login or a lost connection is about
    /// neither.
    pub(super) fn failure(&self, what: &impl ToString, error: &SessionError) -> Failure {
        self.lost().unwrap_or_else(|| errors::session(&what.to_string(), error))
    }

    /// Closes the session in order; for when the job is done.
    pub(super) async fn close(self) {
        self.client.close().await;
    }
}
