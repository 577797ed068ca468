//! What a client is told for which there is no room: that it may try again, and when.
//!
//! Nothing it says is looked at but the number of its first frame, so that it costs no memory and
//! no check of a password.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, split};

use sealane_protocol::message::Refused;
use sealane_protocol::wire::FrameReader;
use sealane_protocol::{ServerMessage, Side, Status};

/// How much is read of what a client says meanwhile: a connection that is closed with something
/// unread is reset, and the refusal could be lost.
const HEAR_OUT_BYTES: u64 = 1 << 20;
/// The caller waits no longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers the first frame with `Busy`, and reads on until the client goes. Cancel safe.
pub(super) async fn tell<S: AsyncRead + AsyncWrite + Unpin>(stream: S, wait: Duration) {
    let (read, mut write) = split(stream);
    let mut reader = FrameReader::new(read, Side::Client, PATIENCE);
    let Ok(Some(first)) = reader.header().await else { return };
    let refused = Refused { wait: Some(wait.as_secs()), ..Refused::new(Status::Busy) };
    let answer = ServerMessage::Refused(refused).encode(first.id);
    let said = async {
        write.write_all(&answer).await?;
        write.shutdown().await
    };
    if said.await.is_ok() {
        reader.hear_out(HEAR_OUT_BYTES).await;
    }
}
