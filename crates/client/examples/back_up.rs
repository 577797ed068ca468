//! Backs a directory up: `back_up DIRECTORY ADDRESS`. What the server has already is not sent
//! again.
//!
//! The password is in `SEALANE_PASSWORD`, or there is a key in the file that `SEALANE_KEY` names.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of its own"
)]

use std::error::Error;
use std::sync::Arc;
use std::{env, fs};

use sealane_base::files::Tree;
use sealane_base::types::{Address, Secret, Username};
use sealane_client::tree::{Compare, Copy, CopyEvent, Exclude, Preserve, Rules};
use sealane_client::{Connector, PromptError, Prompts};
use sealane_tls::Identity;
use sealane_tls::trust::Store;

struct Environment;

impl Prompts for Environment {
    fn password(&self, _: &Username, _: &str) -> Result<Secret, PromptError> {
        Ok(Secret::new(env::var("SEALANE_PASSWORD")?))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(directory), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("usage: back_up DIRECTORY ADDRESS".into());
    };
    let address = Address::parse(&address)?;
    // No known servers: the pins of the address are all that is trusted.
    let mut connector = Connector::new(Store::new(None), Arc::new(Environment));
    if let Some(file) = env::var_os("SEALANE_KEY") {
        let pem = fs::read(file)?;
        connector.key = Some(Identity::from_pem(&pem, &pem)?);
    }
    let client = connector.connect(&address).await?;
    let copy = Copy {
        client: client.clone(),
        meter: Arc::default(),
        rules: Rules { compare: Compare::Time, delete: false, preserve: Preserve::No },
        exclude: Exclude::default(),
        preserve: true,
        dry_run: false,
        cache: None,
    };
    let mut failed = 0;
    let tree = Tree::open(directory.as_ref())?;
    let done = copy.upload(tree, &address.path, false, |event| {
        if let CopyEvent::Step(step) = event
            && let Err(error) = step.result
        {
            eprintln!("{}: {error}", step.path);
            failed += 1;
        }
    });
    done.await?;
    println!("{} bytes, {} unchanged", copy.meter.total_bytes(), copy.meter.reused_bytes());
    drop(copy);
    client.close().await;
    if failed == 0 { Ok(()) } else { Err(format!("{failed} files failed").into()) }
}
