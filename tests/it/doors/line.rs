//! A second door, to see that the service holds any: a line protocol over TLS.
//!
//! `LOGIN user password`, `KEY user`, `LIST`, `PUT name` followed by `DATA length` and bytes as
//! often as needed and `END`, `GET name`, `QUIT`. Answers are `OK …` or `NO …`. It knows no path of
//! the system, no record, no ledger and no permission.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use sealane_base::files::{FileMeta, StorageError};
use sealane_base::types::{RemotePath, Secret};
use sealane_core::service::{Credential, Home, Login};
use sealane_server::door::{Accepted, Door, Serving};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::time::timeout_at;

pub const PROTOCOL: &[u8] = b"line";
/// Longest line, and most bytes of one `DATA`.
const MOST: u64 = 1 << 20;

type Stream = BufStream<sealane_tls::TlsStream<TcpStream>>;

#[derive(Debug)]
pub struct Line;

impl Door for Line {
    fn name(&self) -> &'static str {
        "line"
    }

    fn tls(&self, sealane: &Arc<ServerConfig>) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(sealane);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Arc::new(config)
    }

    fn serve(self: Arc<Self>, accepted: Accepted) -> Serving {
        Box::pin(async move {
            // A connection that breaks off has nobody left to be told.
            let _ = converse(accepted).await;
        })
    }
}

async fn converse(accepted: Accepted) -> io::Result<()> {
    let Accepted { stream, connection, service, deadline, drain, .. } = accepted;
    let shown = sealane_tls::peer_pin(&stream);
    let mut stream = BufStream::new(stream);
    let first = timeout_at(deadline, line(&mut stream)).await??;
    let (user, credential) = match first.splitn(3, ' ').collect::<Vec<_>>()[..] {
        ["LOGIN", user, password] => (user, Credential::Password(Secret::new(password.to_owned()))),
        ["KEY", user] => (user, Credential::Key(shown)),
        _ => return say(&mut stream, "NO log in first").await,
    };
    let login = match service.log_in(&connection, user, credential, shown).await {
        Ok(login) => login,
        Err(refusal) => return say(&mut stream, &format!("NO {refusal}")).await,
    };
    say(&mut stream, "OK").await?;
    loop {
        let request = tokio::select! {
            request = line(&mut stream) => request?,
            () = drain.cancelled() => return say(&mut stream, "NO shutting down").await,
        };
        let (verb, argument) = request.split_once(' ').unwrap_or((&request, ""));
        let answer = match verb {
            "LIST" => list(&login).await,
            "PUT" => put(&mut stream, &login, argument).await?,
            "GET" => get(&mut stream, &login, argument).await?,
            "QUIT" | "" => return say(&mut stream, "OK").await,
            _ => Ok("NO such verb".to_owned()),
        };
        say(&mut stream, &answer.unwrap_or_else(|error| format!("NO {error}"))).await?;
    }
}

async fn list(login: &Login) -> Result<String, StorageError> {
    let page = on_home(login, |home| home.list(&RemotePath::default(), None, 1000)).await?;
    let names: Vec<_> = page.entries.into_iter().map(|entry| entry.name).collect();
    Ok(format!("OK {}", names.join(" ")))
}

async fn put(
    stream: &mut Stream,
    login: &Login,
    name: &str,
) -> io::Result<Result<String, StorageError>> {
    let path = match RemotePath::parse(name) {
        Ok(path) => path,
        Err(error) => return Ok(Err(error.into())),
    };
    let _moving = login.transfer();
    let upload = match login.upload(path, None, FileMeta::default()).await {
        Ok(upload) => upload,
        Err(error) => return Ok(Err(error)),
    };
    say(stream, "OK").await?;
    let (superseded, mut offset) = (upload.superseded(), 0);
    loop {
        let next = tokio::select! {
            next = line(stream) => next?,
            () = superseded.cancelled() => return Ok(Err(StorageError::Superseded)),
        };
        let upload = upload.clone();
        let Some(length) = next.strip_prefix("DATA ") else {
            let done = blocking(move || upload.commit()).await;
            return Ok(done.map(|()| "OK stored".to_owned()));
        };
        let length: Option<u64> = length.parse().ok().filter(|length| *length <= MOST);
        let mut bytes = vec![0; length.ok_or(io::ErrorKind::InvalidData)? as usize];
        stream.read_exact(&mut bytes).await?;
        let (at, length) = (offset, bytes.len() as u64);
        // What has no room is not kept for another attempt.
        let write = move || upload.write_at(at, &bytes).inspect_err(|_| upload.discard());
        if let Err(error) = blocking(write).await {
            return Ok(Err(error));
        }
        offset += length;
        say(stream, "OK").await?;
    }
}

async fn get(
    stream: &mut Stream,
    login: &Login,
    name: &str,
) -> io::Result<Result<String, StorageError>> {
    let path = match RemotePath::parse(name) {
        Ok(path) => path,
        Err(error) => return Ok(Err(error.into())),
    };
    let read = move |home: &Home| {
        let source = home.source(&path)?;
        // A test's files are small.
        let mut bytes = vec![0; source.size().min(MOST) as usize];
        source.read_at(0, &mut bytes)?;
        source.check_unchanged()?;
        Ok(bytes)
    };
    match on_home(login, read).await {
        Ok(bytes) => {
            say(stream, &format!("DATA {}", bytes.len())).await?;
            stream.write_all(&bytes).await?;
            Ok(Ok("OK".to_owned()))
        }
        Err(error) => Ok(Err(error)),
    }
}

async fn on_home<T: Send + 'static>(
    login: &Login,
    work: impl FnOnce(&Home) -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let home = login.home().clone();
    blocking(move || work(&home)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(StorageError::Io(io::Error::other(error))))
}

/// The next line without its end; empty at the end of the connection.
async fn line(stream: &mut Stream) -> io::Result<String> {
    let mut line = String::new();
    (&mut *stream).take(MOST).read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}

async fn say(stream: &mut Stream, text: &str) -> io::Result<()> {
    stream.write_all(format!("{text}\n").as_bytes()).await?;
    stream.flush().await
}
