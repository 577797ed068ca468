//! Fetches a file and watches how it gets on: `watch ADDRESS FILE`. The password is in
//! `SEALANE_PASSWORD`.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a program of its own")]

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use sealane_base::types::{Address, Secret, Username};
use sealane_client::tree::{FileJob, LocalFile, download_files};
use sealane_client::{Connector, Event, ProgressStream, PromptError, Prompts};
use sealane_protocol::transfer::Meter;
use sealane_tls::trust::Store;

struct Watcher;

impl Prompts for Watcher {
    fn password(&self, _: &Username, _: &str) -> Result<Secret, PromptError> {
        Ok(Secret::new(env::var("SEALANE_PASSWORD")?))
    }

    fn event(&self, server: &str, event: Event<'_>) {
        println!("{server}: {event:?}");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(address), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: watch ADDRESS FILE".into());
    };
    let address = Address::parse(&address)?;
    let connector = Connector::new(Store::new(None), Arc::new(Watcher));
    let client = connector.connect(&address).await?;
    let meter = Arc::<Meter>::default();
    let job =
        FileJob { local: LocalFile::Path(file.into()), remote: address.path.clone(), inside: None };
    let mut result = None;
    let transfer = download_files(&client, vec![job], false, &meter, |_, ended| {
        result = Some(ended);
    });
    let mut progress = ProgressStream::new(meter.clone(), Duration::from_millis(20));
    let watching = async {
        loop {
            let now = progress.next().await;
            println!("{} of {} bytes", now.verified, now.total);
        }
    };
    tokio::select! {
        done = transfer => done?,
        () = watching => {}
    }
    let arrived = result.ok_or("nothing came")??;
    println!("{} bytes, root {}", arrived.outcome.size, arrived.outcome.root);
    client.close().await;
    Ok(())
}
