//! The configuration that ships, and the same with what a new server decides for itself.

use std::net::SocketAddr;

use sealane_base::types::Pin;

/// The shipped `config.toml`.
pub(super) const SHIPPED: &str = include_str!("../../config.toml");

/// The shipped configuration with another place to listen and a backup pin.
#[must_use]
pub fn template(listen: SocketAddr, backup_pin: &Pin) -> String {
    let mut text = String::with_capacity(SHIPPED.len());
    for line in SHIPPED.lines() {
        if line.starts_with("listen = ") {
            text.push_str(&format!("listen = \"{listen}\""));
        } else if line.starts_with("# backup_pin = ") {
            text.push_str(&format!("backup_pin = \"{backup_pin}\""));
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}
