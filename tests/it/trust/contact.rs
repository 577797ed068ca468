//! The first time, and every way around the proof that somebody might hope for.

use std::io::Read;
use std::net::TcpListener;

use crate::support::{Person, Site, fails, ok, stderr};

#[test]
fn a_person_types_the_beginning_of_the_key() {
    let site = Site::new();
    site.account("ann", "10M");
    let (server, person) = (site.start(), Person::new());
    let bare = format!("sealane://ann@{}/", server.address);
    for answer in ["", "y", "yes", "AAAAAAAA"] {
        let screen = person.at_terminal(["ls", &bare], answer);
        assert_eq!(screen.code, Some(5), "{}", screen.text);
        assert!(screen.text.contains("nothing was sent"), "{}", screen.text);
        assert!(!person.known().exists());
    }
    let screen = person.at_terminal(["ls", &bare], "{key}");
    assert_eq!(screen.code, Some(0), "{}", screen.text);
    assert!(screen.text.contains("is not known yet. its key is sha256//"), "{}", screen.text);
    // From now on nobody is asked.
    ok(person.run(["ls", &bare]));
    let again = person.at_terminal(["ls", &bare], "");
    assert!(again.code == Some(0) && !again.text.contains("not known"), "{}", again.text);
}

#[test]
fn without_a_terminal_an_unknown_server_hears_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let place = listener.local_addr().unwrap();
    let person = Person::new();
    let address = format!("sealane://ann@{place}/");
    let run = person.run(["ls", &address]);
    fails(
        run,
        5,
        &format!("{place} is not known and no pin was given; your password was not sent"),
    );
    assert!(listener.accept().is_err(), "somebody connected");
    assert!(!person.known().exists());
}

#[test]
fn accept_new_believes_the_first_key_and_no_other() {
    let (site, other) = (Site::new(), Site::new());
    site.account("ann", "10M");
    let person = Person::new();
    let bare = {
        let server = site.start();
        let bare = format!("sealane://ann@{}/", server.address);
        ok(person.run(["--accept-new", "ls", &bare]));
        ok(person.run(["ls", &bare]));
        bare
    };
    // Another server takes the port.
    let port = bare.rsplit(':').next().unwrap().trim_end_matches('/');
    let config = std::fs::read_to_string(other.config()).unwrap();
    let config = config.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    std::fs::write(other.config(), config).unwrap();
    let _impostor = other.start();
    fails(person.run(["--accept-new", "ls", &bare]), 5, "does not match its pin; nothing was sent");
    fails(person.run(["ls", &bare]), 5, "sealane trust replace");
}

#[test]
fn a_server_that_is_not_sealane_is_not_stored() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 FTP ready\r\n").unwrap();
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        heard
    });
    let person = Person::new();
    let address = format!("sealane://ann@{place}/");
    fails(person.run(["--accept-new", "ls", &address]), 5, "does not speak TLS");
    let heard = answering.join().unwrap();
    assert!(!String::from_utf8_lossy(&heard).contains(crate::support::site::PASSWORD));
    assert!(!person.known().exists());
}

/// Words that a way around verification would be called by.
const SUSPICIOUS: [&str; 9] = [
    "insecure",
    "no-verify",
    "noverify",
    "skip",
    "unsafe",
    "no-check",
    "trust-all",
    "ignore-cert",
    "allow-any",
];

#[test]
fn nothing_turns_verification_off() {
    // Flags: of every subcommand of every program, as their help shows them.
    let mut helps = helps_of(env!("CARGO_BIN_EXE_sealane"), &[]);
    helps.extend(helps_of(env!("CARGO_BIN_EXE_sealaned"), &[]));
    helps.extend(helps_of(env!("CARGO_BIN_EXE_sealane-admin"), &[]));
    assert!(helps.len() > 60, "{}", helps.len());
    for help in &helps {
        let flags = help.split_whitespace().filter(|word| word.starts_with('-'));
        for flag in flags {
            assert!(SUSPICIOUS.iter().all(|word| !flag.contains(word)), "{flag} in {help}");
        }
    }
    // Variables: the one file that reads them knows these and no more.
    let source = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/environment.rs"),
    );
    let source = source.unwrap();
    let shipped = source.split("#[cfg(test)]").next().unwrap();
    let mut variables: Vec<&str> = shipped
        .split('"')
        .filter(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    variables.sort_unstable();
    variables.dedup();
    let expected = [
        "HOME",
        "LISTEN_FDNAMES",
        "NOTIFY_SOCKET",
        "SEALANE_KEY",
        "SEALANE_LOG",
        "SEALANE_PASSWORD",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
    ];
    assert_eq!(variables, expected);
}

/// What `program` says of itself, and of every command below `path` that it lists.
fn helps_of(program: &str, path: &[&str]) -> Vec<String> {
    let output = std::process::Command::new(program).args(path).arg("--help").output().unwrap();
    assert!(output.status.success(), "{path:?}: {}", stderr(&output));
    let help = String::from_utf8(output.stdout).unwrap();
    let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let commands = listed.lines().take_while(|line| line.starts_with("  "));
    // The names stand in the second column, what they do further right.
    let names = commands.filter(|line| !line.starts_with("   "));
    let names: Vec<_> = names.filter_map(|line| line.split_whitespace().next()).collect();
    let mut helps = vec![help.clone()];
    for name in names.into_iter().filter(|name| *name != "help") {
        helps.extend(helps_of(program, &[path, &[name]].concat()));
    }
    helps
}

#[test]
fn hopeful_flags_variables_and_files_change_nothing() {
    let (site, other) = (Site::new(), Site::new());
    site.account("ann", "10M");
    let (server, person) = (site.start(), Person::new());
    let wrong = format!("sealane://ann@{}/?{}", server.address, other.pins);
    for flag in ["--insecure", "-k", "--no-verify", "--trust-all", "--accept-changed"] {
        let run = person.run([flag, "ls", &wrong]);
        assert_eq!(run.status.code(), Some(2), "{flag}");
    }
    let config = person.directory.path().join("sealane");
    std::fs::create_dir_all(&config).unwrap();
    for file in ["config.toml", "config", "insecure", "known_servers"] {
        std::fs::write(config.join(file), "verify = false\ninsecure = true\n*\n").unwrap();
    }
    let mut command = person.command(["ls", &wrong]);
    for variable in [
        "SEALANE_INSECURE",
        "SEALANE_VERIFY",
        "SEALANE_TRUST_ALL",
        "SSL_CERT_FILE",
        "SSLKEYLOGFILE",
    ] {
        command.env(variable, config.join("insecure"));
    }
    fails(command.output().unwrap(), 5, "does not match its pin");
    for query in ["insecure=1", "verify=0", "pin=any", "pin=*"] {
        let run = person.run(["ls", &format!("sealane://ann@{}/?{query}", server.address)]);
        assert_eq!(run.status.code(), Some(2), "{query}");
    }
}
