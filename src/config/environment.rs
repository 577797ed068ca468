//! Every environment variable that the programs obey, read here and nowhere else.
//!
//! `SEALANE_CONFIG` alone is read by the command line parser, which shows it in `--help`. A
//! variable that is set but empty counts as not set.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::PathBuf;

use thiserror::Error;

use sealane_base::types::Secret;
use sealane_base::types::text::printable;

/// A variable whose value cannot be used.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the environment variable {0} is not UTF-8")]
pub struct EnvironmentError(&'static str);

/// The password in `SEALANE_PASSWORD`.
///
/// # Errors
/// [`EnvironmentError`] if it is not UTF-8; the value is not shown.
pub fn password() -> Result<Option<Secret>, EnvironmentError> {
    Ok(text("SEALANE_PASSWORD", read("SEALANE_PASSWORD"))?.map(Secret::new))
}

/// The client's own key, from `SEALANE_KEY`.
#[must_use]
pub fn key_file() -> Option<PathBuf> {
    read("SEALANE_KEY").map(PathBuf::from)
}

/// What to log, from `SEALANE_LOG`: a level such as `debug`, or a filter of tracing.
///
/// # Errors
/// [`EnvironmentError`] if it is not UTF-8.
pub fn log_filter() -> Result<Option<String>, EnvironmentError> {
    text("SEALANE_LOG", read("SEALANE_LOG"))
}

/// Where the client keeps what it knows: `sealane` in `XDG_CONFIG_HOME`, or in `HOME/.config`.
/// `None` if neither is set to an absolute path.
#[must_use]
pub fn config_directory() -> Option<PathBuf> {
    let absolute = |name| read(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|h| h.join(".config")));
    base.map(|base| base.join("sealane"))
}

/// Where a service manager wants to hear that the server is ready: `NOTIFY_SOCKET`
/// (`sd_notify(3)`).
#[must_use]
pub fn notify_socket() -> Option<OsString> {
    read("NOTIFY_SOCKET")
}

/// A socket that a service manager has opened for us.
#[derive(Debug)]
pub struct PassedListener {
    /// What the manager calls it (`FileDescriptorName=` of systemd).
    pub name: Option<String>,
    /// The socket.
    pub listener: TcpListener,
}

/// Every socket that a service manager has opened for us, in its order: `LISTEN_FDS` and
/// `LISTEN_FDNAMES` (`sd_listen_fds_with_names(3)`). None if it has not; the second time always.
///
/// # Errors
/// One of them, which is named, is no TCP socket that listens.
pub fn passed_listeners() -> std::io::Result<Vec<PassedListener>> {
    let mut passed = listenfd::ListenFd::from_env();
    let names = read("LISTEN_FDNAMES").map(|names| names.to_string_lossy().into_owned());
    let mut names = names.as_deref().unwrap_or_default().split(':');
    let mut listeners = Vec::new();
    let count = passed.len();
    for place in 0..count {
        let name = names.next().filter(|name| !name.is_empty()).map(printable);
        let called = name.as_deref().map(|name| format!(" ('{name}')")).unwrap_or_default();
        let wrong = |error: std::io::Error| {
            let text = format!("number {} of {count}{called}: {error}", place + 1);
            std::io::Error::new(error.kind(), text)
        };
        if let Some(listener) = passed.take_tcp_listener(place).map_err(wrong)? {
            listeners.push(PassedListener { name, listener });
        }
    }
    Ok(listeners)
}

/// Where the client keeps what it can do without: `sealane` in `XDG_CACHE_HOME`, or in
/// `HOME/.cache`. `None` if neither is set to an absolute path.
#[must_use]
pub fn cache_directory() -> Option<PathBuf> {
    let absolute = |name| read(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|h| h.join(".cache")));
    base.map(|base| base.join("sealane"))
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn read(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn text(name: &'static str, value: Option<OsString>) -> Result<Option<String>, EnvironmentError> {
    value.map(|value| value.into_string().map_err(|_| EnvironmentError(name))).transpose()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_refused_without_being_shown() {
        let error = text("X", Some(OsString::from_vec(vec![b's', 0xff]))).unwrap_err();
        assert_eq!(error.to_string(), "the environment variable X is not UTF-8");
        assert_eq!(text("X", Some("s".into())), Ok(Some("s".into())));
        assert_eq!(text("X", None), Ok(None));
    }
}
