//! What a service manager is told (`sd_notify(3)`): that the server is ready, that it is stopping.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Who started us and wants to know; nobody, mostly.
#[derive(Debug, Default)]
pub(super) struct Manager(Option<UnixDatagram>);

impl Manager {
    /// Opens the way to the socket that `NOTIFY_SOCKET` names: before the sandbox, which would not.
    pub(super) fn new(socket: Option<&OsStr>) -> Self {
        let open = |name: &OsStr| {
            let address = match name.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
                _ => SocketAddr::from_pathname(name),
            };
            let datagrams = UnixDatagram::unbound()?;
            datagrams.connect_addr(&address?)?;
            Ok::<_, std::io::Error>(datagrams)
        };
        // A manager that does not listen is no reason not to serve.
        Self(socket.and_then(|name| open(name).ok()))
    }

    /// Tells it `state`: `READY=1`, `STOPPING=1`.
    pub(super) fn tell(&self, state: &str) {
        if let Some(datagrams) = &self.0 {
            let _ = datagrams.send(state.as_bytes());
        }
    }
}
