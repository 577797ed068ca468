//! What several commands of `sealane-admin` say alike: columns, names of states, findings of a
//! report.
//!
//! It makes texts and prints none.

use sealane_core::accounts::{HashState, MigrationReport};

/// Rows as lines whose columns stand under one another.
pub(super) fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// How a password is stored, as people read it.
pub(super) fn state_word(state: HashState) -> &'static str {
    match state {
        HashState::Argon2id => "argon2id",
        HashState::Weak => "argon2id, below the configured cost",
        HashState::Wrapped => "md5+argon2id",
        HashState::Md5 => "md5",
        HashState::Unusable => "unusable",
    }
}

/// What deserves attention, as titles and lines.
pub(super) fn findings(report: &MigrationReport) -> Vec<(&'static str, Vec<String>)> {
    let joined = |groups: &[Vec<String>]| groups.iter().map(|names| names.join(", ")).collect();
    vec![
        ("the same password (identical MD5)", joined(&report.same_password)),
        ("an empty password: nobody can log in", report.empty_password.clone()),
        ("the account's name as password", report.name_as_password.clone()),
        ("one of the commonest passwords", report.common_password.clone()),
        ("names that differ in case only", joined(&report.case_collisions)),
        (
            "limitsize is not a positive number of bytes",
            report.quota_oddities.iter().map(|(name, text)| format!("{name}: {text}")).collect(),
        ),
        (
            "homes that are the same or inside one another",
            report.shared_homes.iter().map(|(a, b)| format!("{a}, {b}")).collect(),
        ),
        (
            "MD5 in files that are not such records",
            report.md5_elsewhere.iter().map(|one| format!("{}: {}", one.file, one.why)).collect(),
        ),
    ]
}
