//! A client in another language that knows nothing but the document and the vectors.

use std::process::Command;

use super::{root, vectors};
use crate::support::site::PASSWORD;
use crate::support::{Site, stdout};

/// A Python that has what the client needs.
fn python() -> Result<String, String> {
    let python = std::env::var("SEALANE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let asked = Command::new(&python).args(["-c", "import blake3, cbor2"]).output();
    match asked {
        Ok(output) if output.status.success() => Ok(python),
        Ok(_) => Err("pip install blake3 cbor2, and name that Python in SEALANE_PYTHON".to_owned()),
        Err(error) => Err(format!("{python}: {error}")),
    }
}

#[test]
fn a_client_by_a_stranger_moves_files() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return println!("skipped: {why}"),
    };
    let site = Site::new();
    site.account("ann", "1G");
    let server = site.start();
    let output = Command::new(python)
        .arg(root().join("tests/stranger/client.py"))
        .args([&site.address(&server, "ann", ""), PASSWORD])
        .arg(vectors())
        .output()
        .unwrap();
    assert_eq!(stdout(&output), "all is well\n", "{}", String::from_utf8_lossy(&output.stderr));
}
