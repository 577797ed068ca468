//! One small client for each door, with the same calls, so that the same tests can be run through
//! both.

use std::sync::Arc;

use sealane_base::types::Secret;
use sealane_protocol::message::{LoggedIn, Login};
use sealane_protocol::{ClientMessage, Kind, ServerMessage, Side};
use sealane_tls::Identity;
use tokio::io::{
    AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream, copy_bidirectional, duplex,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::line;
use crate::support::Service;
use crate::support::peer::{self, Peer, hello, soon};
use crate::support::site::PASSWORD;

/// Which door.
#[derive(Clone, Copy, Debug)]
pub enum Door {
    Sealane,
    Line,
}

pub const DOORS: [Door; 2] = [Door::Sealane, Door::Line];
pub const MIB: usize = 1 << 20;

/// A session through either door.
pub enum Client {
    Sealane(Peer),
    Line(Box<BufStream<tokio_rustls::client::TlsStream<TcpStream>>>),
}

/// An upload of which a first MiB has been received.
pub struct Half<'b> {
    id: u32,
    bytes: &'b [u8],
}

type Outcome = Result<(), String>;

impl Client {
    /// Logs `user` in by password, or by `key`.
    pub async fn log_in(
        service: &Service,
        door: Door,
        user: &str,
        key: Option<&Identity>,
    ) -> Result<Self, String> {
        let config = sealane_tls::client_config_with(service.pins.clone(), key).unwrap();
        let password = key.is_none().then(|| PASSWORD.to_owned());
        match door {
            Door::Sealane => {
                let stream = TcpStream::connect(service.address).await.unwrap();
                let mut stream = sealane_tls::connect(config, stream).await.unwrap();
                let (near, mut far) = duplex(4 * MIB);
                tokio::spawn(async move { copy_bidirectional(&mut stream, &mut far).await });
                let mut peer = Peer::new(near, Side::Server, None);
                let password = password.map(Secret::new);
                let login = Login { user: user.to_owned(), password };
                peer.send(&[hello(1), ClientMessage::Login(login).encode(2)].concat()).await;
                match peer.answer_to(2).await {
                    ServerMessage::LoggedIn(LoggedIn { .. }) => Ok(Self::Sealane(peer)),
                    other => Err(format!("{other:?}")),
                }
            }
            Door::Line => {
                let mut config = rustls::ClientConfig::clone(&config);
                config.alpn_protocols = vec![line::PROTOCOL.to_vec()];
                let stream = TcpStream::connect(service.line_address).await.unwrap();
                let name = "localhost".try_into().unwrap();
                let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
                let mut client = Self::Line(Box::new(BufStream::new(stream.unwrap())));
                let request = match password {
                    Some(password) => format!("LOGIN {user} {password}"),
                    None => format!("KEY {user}"),
                };
                client.line(&request).await.map(|_| client)
            }
        }
    }

    /// Stores a small file.
    pub async fn put(&mut self, name: &str, bytes: &[u8]) -> Outcome {
        match self {
            Self::Sealane(peer) => stored(peer.exchange(peer::put_small(name, bytes)).await),
            Self::Line(_) => {
                self.line(&format!("PUT {name}")).await?;
                self.data(bytes).await?;
                self.line("END").await.map(drop)
            }
        }
    }

    /// Begins an upload of more than a MiB, and waits until the server has the first one.
    pub async fn begin<'b>(&mut self, name: &str, bytes: &'b [u8]) -> Result<Half<'b>, String> {
        let id = match self {
            Self::Sealane(peer) => {
                let id = peer.ask(peer::put(name, bytes.len())).await;
                match peer.answer_to(id).await {
                    ServerMessage::Accepted(_) => {}
                    other => return Err(format!("{other:?}")),
                }
                peer.send(&peer::chunk(id, bytes, 0)).await;
                // What a session before left is claimed first.
                while peer.frame_of(id).await.0.kind != Kind::Ack {}
                id
            }
            Self::Line(_) => {
                self.line(&format!("PUT {name}")).await?;
                self.data(&bytes[..MIB]).await?;
                0
            }
        };
        Ok(Half { id, bytes })
    }

    /// Sends the rest of an upload.
    pub async fn finish(&mut self, half: Half<'_>) -> Outcome {
        let Half { id, bytes } = half;
        match self {
            Self::Sealane(peer) => {
                for index in 1..bytes.len().div_ceil(MIB) {
                    peer.send(&peer::chunk(id, bytes, index as u32)).await;
                }
                peer.send(&peer::end(id, bytes)).await;
                stored(peer.answer_to(id).await)
            }
            Self::Line(_) => {
                for piece in bytes[MIB..].chunks(MIB) {
                    self.data(piece).await?;
                }
                self.line("END").await.map(drop)
            }
        }
    }

    /// What the server says of an upload that nothing more is sent of.
    pub async fn told(&mut self, half: Half<'_>) -> Outcome {
        match self {
            Self::Sealane(peer) => stored(peer.answer_to(half.id).await),
            Self::Line(_) => self.answer().await.map(drop),
        }
    }

    /// Fetches a small file.
    pub async fn get(&mut self, name: &str) -> Result<Vec<u8>, String> {
        match self {
            Self::Sealane(peer) => match peer.exchange(peer::get(name, false)).await {
                ServerMessage::File(_, bytes) => Ok(bytes),
                other => Err(format!("{other:?}")),
            },
            Self::Line(stream) => {
                stream.write_all(format!("GET {name}\n").as_bytes()).await.unwrap();
                let answer = self.answer().await?;
                let Self::Line(stream) = self else { unreachable!() };
                let length: usize = answer.strip_prefix("DATA ").unwrap().parse().unwrap();
                let mut bytes = vec![0; length];
                soon(stream.read_exact(&mut bytes)).await.unwrap();
                self.answer().await.map(|_| bytes)
            }
        }
    }

    /// The names in the home.
    pub async fn list(&mut self) -> Result<Vec<String>, String> {
        match self {
            Self::Sealane(peer) => match peer.exchange(peer::list("")).await {
                ServerMessage::Entries(page) => {
                    Ok(page.entries.into_iter().map(|entry| entry.name).collect())
                }
                other => Err(format!("{other:?}")),
            },
            Self::Line(_) => {
                let names = self.line("LIST").await?;
                Ok(names.split_whitespace().skip(1).map(str::to_owned).collect())
            }
        }
    }

    /// Waits until the server has closed the connection.
    pub async fn closed(self) {
        match self {
            Self::Sealane(mut peer) => while peer.next().await.is_some() {},
            Self::Line(mut stream) => {
                // With or without TLS's closing alert.
                let _ = soon(stream.read_to_end(&mut Vec::new())).await;
            }
        }
    }

    async fn data(&mut self, bytes: &[u8]) -> Outcome {
        let Self::Line(stream) = self else { unreachable!() };
        stream.write_all(format!("DATA {}\n", bytes.len()).as_bytes()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        self.answer().await.map(drop)
    }

    async fn line(&mut self, line: &str) -> Result<String, String> {
        let Self::Line(stream) = self else { unreachable!() };
        stream
            .write_all(format!("{line}\n").as_bytes())
            .await
            .map_err(|error| error.to_string())?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<String, String> {
        let Self::Line(stream) = self else { unreachable!() };
        stream.flush().await.map_err(|error| error.to_string())?;
        let mut line = String::new();
        soon(stream.read_line(&mut line)).await.map_err(|error| error.to_string())?;
        let line = line.trim_end().to_owned();
        if line.starts_with("NO") || line.is_empty() { Err(line) } else { Ok(line) }
    }
}

fn stored(answer: ServerMessage) -> Outcome {
    match answer {
        ServerMessage::Committed(_) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}
