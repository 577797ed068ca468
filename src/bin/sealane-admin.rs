//! Accounts, migration and certificates.

fn main() {}
