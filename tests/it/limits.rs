//! Limits of the process: an error of one transfer, never the end of the program; and homes that
//! are none.

use std::process::Command;

use crate::support::site::{client, sealane};
use crate::support::{Stage, fails, noise, ok, text};

/// The same program, with `limit` set in a shell before.
fn limited(limit: &str, program: &Command) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limit} && exec \"$@\""), "sh"]);
    command.arg(program.get_program()).args(program.get_args());
    command.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command
}

#[test]
fn a_file_beyond_the_limit_is_an_error_of_that_file() {
    let mut stage = Stage::new();
    stage.server.kill();
    let server = Command::new(env!("CARGO_BIN_EXE_sealaned"));
    stage.server = stage.site.start_by(limited("ulimit -f 4096", &server)).unwrap();
    let large = stage.site.file("large", &noise(6 << 20, 1));
    let small = stage.site.file("small", b"x");
    // The shell counts in half kibibytes or whole ones; 6 MiB is beyond both.
    let put = sealane(["put", "--retry-for", "2s", text(&large), &stage.at("large")]);
    fails(put, 7, "too large");
    ok(sealane(["put", text(&small), &stage.at("small")]));
    assert!(!stage.home("large").exists() && stage.home("small").is_file());

    std::fs::copy(&large, stage.home("large")).unwrap();
    let back = stage.directory("back");
    let get = client(["get", &stage.at("large"), &stage.at("small"), text(&back)]);
    fails(
        limited("ulimit -f 4096", &get).output().unwrap(),
        9,
        "larger than the system lets it be",
    );
    assert!(!back.join("large").exists() && back.join("small").is_file());
}

#[test]
fn without_a_home_only_what_needs_one_is_missing() {
    let stage = Stage::new();
    let file = stage.site.file("f", b"x");
    let put = || client(["put", text(&file), &stage.at("f")]);
    let blocked = stage.directory("blocked");
    std::fs::write(blocked.join(".config"), b"").unwrap();
    std::fs::write(blocked.join(".cache"), b"").unwrap();
    for home in [Some("/dev/null"), Some(text(&blocked)), Some("/nonexistent"), None] {
        let mut command = put();
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME").env_remove("HOME");
        if let Some(home) = home {
            command.env("HOME", home);
        }
        ok(command.output().unwrap());
        let mut verify = client(["verify", text(&file), &stage.at("f")]);
        verify.env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME").env_remove("HOME");
        if let Some(home) = home {
            verify.env("HOME", home);
        }
        ok(verify.output().unwrap());
    }
}
