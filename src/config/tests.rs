//! Good and bad configuration files, and the one that ships.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::file::File;
use super::template::SHIPPED;
use super::*;
use sealane_base::types::{ListenAddress, Pin};
use sealane_core::accounts::LoginSettings;
use sealane_core::storage::Caps;
use sealane_server::{sandbox, sealane};

const FILE: &str = "/etc/sealane/config.toml";

fn read(text: &str) -> Result<Settings, ConfigError> {
    parse(Path::new(FILE), text.as_bytes())
}

/// The error without the name of the file.
fn error(text: &str) -> String {
    let error = read(text).unwrap_err().to_string();
    error.strip_prefix(&format!("'{FILE}', ")).expect(&error).to_owned()
}

#[test]
fn the_shipped_file_has_every_default_and_the_rule_of_the_old_tutorials() {
    let mut shipped: File = toml::from_str(SHIPPED).unwrap();
    let rules = std::mem::take(&mut shipped.home_map);
    assert_eq!(shipped, File::default());
    let rules: Vec<_> = rules.iter().map(|rule| (&*rule.from, &*rule.to)).collect();
    assert_eq!(rules, [(r"D:\FTP\home", "homes")]);
    let settings = read(SHIPPED).unwrap();
    assert_eq!(settings.login.homes.resolve(r"D:\FTP\home\ahpu").unwrap().as_str(), "homes/ahpu");
}

#[test]
fn the_shipped_file_names_every_key() {
    let debug = format!("{:?}", File::default());
    let keys =
        debug.split([' ', '{', '}', '(', ')', ',']).filter_map(|word| word.strip_suffix(':'));
    for key in keys.filter(|key| !["home_map", "door"].contains(key)) {
        let is_named = SHIPPED.lines().any(|line| {
            let line = line.trim_start_matches("# ");
            line.starts_with(&format!("{key} = ")) || line == format!("[{key}]")
        });
        assert!(is_named, "{key}");
    }
}

#[test]
fn the_door_that_the_shipped_file_shows_can_be_switched_on() {
    let (_, shown) = SHIPPED.split_once("# [[door]]\n").unwrap();
    let lines = shown.lines().map_while(|line| line.strip_prefix("# "));
    let text = format!("[[door]]\n{}", lines.collect::<Vec<_>>().join("\n"));
    let doors = read(&text).unwrap().doors;
    let [Door { listen, files: Some(files) }] = &*doors else { panic!("{text}") };
    assert_eq!(listen[0].to_string(), "0.0.0.0:9443");
    assert_eq!(files.key, Path::new("/etc/sealane/certs/https.key"));
    let plain = "[[door]]\nkind = 'https'\nlisten = ['[::1]:1', 'h:2']\n";
    let doors = read(plain).unwrap().doors;
    assert!(doors[0].files.is_none() && doors[0].listen.len() == 2);
    for (text, expected) in [
        ("key = 'k'", "line 1, door: a door has both certificate and key, or neither"),
        ("certificate = 'c'", "line 1, door: a door has both"),
        ("key = 'data/homes/k'\ncertificate = 'c'", "line 1, door: the key of a door must not"),
        ("keys = 'k'", "line 4, door.keys: there is no key"),
    ] {
        let error = error(&format!("{plain}{text}"));
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(error("[[door]]\nkind = 'gopher'\nlisten = '[::1]:1'").contains("line 2"));
    assert!(error("[[door]]\nkind = 'https'").contains("line 1"));
}

#[test]
fn defaults_are_those_of_the_rooms() {
    let settings = read("").unwrap();
    let (login, limits) = (LoginSettings::default(), sealane::Limits::default());
    assert_eq!(settings.login.cost, login.cost);
    assert_eq!((settings.login.workers, settings.login.queue), (login.workers, login.queue));
    assert_eq!(settings.login.queue_deadline, login.queue_deadline);
    assert_eq!((settings.limits.idle, settings.limits.stall), (limits.idle, limits.stall));
    assert_eq!((settings.limits.slowest, settings.caps), (limits.slowest, Caps::default()));
    assert_eq!(settings.partial_expiry, Duration::from_secs(7 * 24 * 3600));
    let listen = ListenAddress::Ip(SocketAddr::from(([127, 0, 0, 1], 9901)));
    assert_eq!((settings.reach.listen, settings.log_file), (vec![listen], None));
}

#[test]
fn every_key_arrives_where_it_belongs() {
    let pin = Pin::of_public_key(b"k");
    let settings = read(&format!(
        r#"
        listen = ["[::]:1", "files.example:3"]
        public_address = "files.example:2"
        [tls]
        certificate = "a.crt"
        key = "/b.key"
        backup_pin = "{pin}"
        [accounts]
        directory = "c"
        migration = "m"
        [storage]
        data = "d"
        partial_expiry_days = 3
        [[home_map]]
        from = '/srv'
        to = "homes/srv"
        [login]
        argon2_memory_kib = 16
        argon2_iterations = 4
        argon2_parallelism = 2
        workers = 5
        queue = 6
        queue_seconds = 7
        legacy_deadline = "2027-01-31"
        [limits]
        login_seconds = 8
        idle_seconds = 9
        stall_seconds = 10
        connections = 11
        strangers = 10
        strangers_per_source = 13
        sessions_per_account = 14
        slowest_bytes_per_second = 15
        transfer_stall_seconds = 19
        workers = 20
        files_per_account = 16
        partials_per_account = 17
        transfer_memory_mib = 18
        answer_memory_mib = 21
        drain_seconds = 12
        [log]
        file = "log/s.log"
        [process]
        user = "sealane"
        sandbox = "required"
        "#
    ))
    .unwrap();
    let seconds = Duration::from_secs;
    let listen: Vec<_> = settings.reach.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["[::]:1", "files.example:3"]);
    assert_eq!(settings.log_file.as_deref(), Some(Path::new("/etc/sealane/log/s.log")));
    assert_eq!(settings.reach.public.unwrap().host_port(), "files.example:2");
    assert_eq!(settings.certificates.certificate, Path::new("/etc/sealane/a.crt"));
    assert_eq!(settings.certificates.key, Path::new("/b.key"));
    assert_eq!(settings.certificates.backup_pin, Some(pin));
    assert_eq!(settings.accounts, Path::new("/etc/sealane/c"));
    assert_eq!(settings.migration, Path::new("/etc/sealane/m"));
    assert_eq!(settings.data, Path::new("/etc/sealane/d"));
    assert_eq!(settings.partial_expiry, seconds(3 * 24 * 3600));
    assert_eq!(settings.login.homes.resolve("/srv/x").unwrap().as_str(), "homes/srv/x");
    let cost = settings.login.cost;
    assert_eq!((cost.memory_kib, cost.iterations, cost.parallelism), (16, 4, 2));
    assert_eq!((settings.login.workers, settings.login.queue), (5, 6));
    let deadline = settings.login.legacy_deadline.unwrap();
    assert_eq!(deadline.to_string(), "2027-01-31");
    assert_eq!((settings.login.queue_deadline, settings.login_deadline), (seconds(7), seconds(8)));
    assert_eq!((settings.limits.idle, settings.limits.stall), (seconds(9), seconds(10)));
    assert_eq!((settings.connections, settings.drain), (11, seconds(12)));
    assert_eq!((settings.strangers.all, settings.strangers.per_source), (10, 13));
    assert_eq!((settings.sessions, settings.limits.slowest), (14, 15));
    assert_eq!((settings.limits.transfer_stall, settings.workers), (seconds(19), Some(20)));
    assert_eq!(settings.caps, Caps { files: 16, partials: 17 });
    assert_eq!((settings.transfer_memory, settings.answer_memory), (18 << 20, 21 << 20));
    assert_eq!(settings.user.as_deref(), Some("sealane"));
    assert_eq!(settings.sandbox, sandbox::Mode::Required);
}

#[test]
fn a_misspelt_key_is_named_with_the_one_that_was_meant() {
    let text = "[limits]\nidel_seconds = 3\n";
    assert_eq!(
        error(text),
        "line 2, limits.idel_seconds: there is no key 'idel_seconds' here, expected one of: \
         login_seconds, idle_seconds, stall_seconds, slowest_bytes_per_second, transfer_stall_seconds, \
         workers, connections, strangers, strangers_per_source, sessions_per_account, \
         files_per_account, partials_per_account, transfer_memory_mib, answer_memory_mib, \
         recheck_seconds, drain_seconds"
    );
    assert_eq!(read(text).unwrap_err().hint().unwrap(), "did you mean 'idle_seconds'?");
    assert!(error("[limit]\n").starts_with("line 1, limit: there is no key 'limit' here"));
    assert_eq!(read("[limit]\n").unwrap_err().hint().unwrap(), "did you mean 'limits'?");
    assert_eq!(read("require_tls = true").unwrap_err().hint(), None);
    assert!(error("[[home_map]]\nform = '/x'\n").starts_with("line 2, home_map.form: there is no"));
}

#[test]
fn zero_is_refused_everywhere() {
    let numbers: Vec<_> = SHIPPED
        .lines()
        .scan(String::new(), |section, line| {
            if line.starts_with('[') {
                *section = line.to_owned();
            }
            Some((section.clone(), line))
        })
        .filter_map(|(section, line)| {
            // One that is shown commented out as well.
            let (key, value) = line.trim_start_matches("# ").split_once(" = ")?;
            value.parse::<u32>().ok().map(|_| (section, key))
        })
        .collect();
    assert_eq!(numbers.len(), 23);
    for (section, key) in numbers {
        for (value, limit) in [("0", "from 1 to"), ("-1", "from 1 to"), ("1e3", "from 1 to")] {
            let error = error(&format!("{section}\n{key} = {value}\n"));
            assert!(error.starts_with("line 2, ") && error.contains(key), "{error}");
            assert!(error.contains(limit) && error.contains("zero is not unlimited"), "{error}");
        }
        let large = format!("{section}\n{key} = 18446744073709551615\n");
        assert!(read(&large).is_err(), "{key}");
    }
}

#[test]
fn wrong_values_say_what_was_expected() {
    for (text, expected) in [
        (
            "listen = 'localhost'",
            "line 1, listen: invalid value: string \"localhost\", expected an IP address and port such as",
        ),
        ("listen = 9901", "line 1, listen: invalid type: integer `9901`, expected an IP address"),
        ("listen = []", "expected an IP address and port such as"),
        ("listen = ['1.2.3.4']", "string \"1.2.3.4\", expected an IP address and port such as"),
        ("[login]\nlegacy_password_encodings = []", "expected some of \"utf-8\", \"gbk\""),
        ("[login]\nlegacy_password_encodings = ['cp437']", "expected some of \"utf-8\", \"gbk\""),
        ("[log]\nfile = ''", "line 2, log.file: invalid value: string \"\", expected a path"),
        ("public_address = 'u@h'", "expected a host and port"),
        ("congestion = 'cubic'", "expected \"bbr\" or \"system\""),
        ("public_address = 'h:0'", "expected a host and port"),
        ("public_address = 'h/x'", "expected a host and port"),
        ("public_address = 'h?pin=x'", "expected a host and port"),
        ("[tls]\nbackup_pin = 'sha256//x'", "line 2, tls.backup_pin: invalid value"),
        ("[tls]\nkey = ''", "line 2, tls.key: invalid value: string \"\", expected a path"),
        ("[login]\nlegacy_deadline = '2027-02-30'", "expected a day such as 2027-01-31"),
        ("[login]\nlegacy_deadline = '27-2-3'", "expected a day such as 2027-01-31"),
        ("[process]\nsandbox = true", "expected a string"),
        ("[process]\nsandbox = 'on'", "expected \"off\", \"best-effort\" or \"required\""),
        ("[[home_map]]\nfrom = '/x'", "line 1"),
        ("listen = ", "line 1"),
        ("[limits]\nidle_seconds = 1\nidle_seconds = 2", "line 3"),
    ] {
        let error = error(text);
        assert!(error.contains(expected), "{error}");
    }
    assert!(parse(Path::new(FILE), b"\xff").unwrap_err().to_string().ends_with("is not UTF-8"));
}

#[test]
fn keys_that_contradict_one_another_are_refused() {
    for (text, expected) in [
        (
            "[login]\nqueue_seconds = 5\n[limits]\nlogin_seconds = 5",
            "line 2, login.queue_seconds: queue_seconds must be less than limits.login_seconds",
        ),
        ("[limits]\nstrangers = 256", "line 2, limits.strangers: strangers must be less than"),
        ("[limits]\nlogin_seconds = 3", "line 2, limits.login_seconds: queue_seconds must be less"),
        (
            "[login]\nargon2_parallelism = 5",
            "line 2, login.argon2_parallelism: argon2id cost m=19456 t=2 p=5",
        ),
        ("[login]\nargon2_memory_kib = 7", "line 2, login.argon2_memory_kib: argon2id cost m=7"),
        ("[[home_map]]\nfrom='x'\nto='homes'", "line 1, home_map: home_map from = 'x' is not"),
        ("[[home_map]]\nfrom='/x'\nto='../x'", "line 1, home_map: home_map to = '../x' is not"),
        ("[[home_map]]\nfrom='/x'\nto='old'", "line 1, home_map: to = 'old' must be 'homes' or"),
        (
            "[accounts]\ndirectory='data/homes/a'",
            "line 2, accounts.directory: accounts.directory must not lie",
        ),
        ("[log]\nfile='data/homes/l'", "line 2, log.file: log.file must not lie among the homes"),
        ("[storage]\ndata='.'\n[tls]\nkey='homes/k'", "line 4, tls.key: tls.key must not lie"),
        (
            "[tls]\nkey='x'\ncertificate='x'",
            "line 2, tls.key: tls.key and tls.certificate must be two",
        ),
    ] {
        let error = error(text);
        assert!(error.starts_with(expected), "{error}");
    }
    read("[storage]\ndata = '.'\n").unwrap();
}

#[test]
fn a_relative_file_and_a_missing_one() {
    let path = Path::new("config.toml");
    let inside = "[storage]\ndata='.'\n[accounts]\ndirectory='homes/a'";
    assert!(parse(path, inside.as_bytes()).is_err());
    assert_eq!(parse(path, b"").unwrap().data, Path::new("./data"));
    let error = load(Path::new("/nonexistent/config.toml")).unwrap_err();
    assert!(error.to_string().starts_with("cannot read '/nonexistent/config.toml'"), "{error}");
    assert!(error.hint().unwrap().contains("sealane-admin init"));
}

#[test]
fn the_template_is_the_shipped_file_with_two_values() {
    let (listen, pin) = ("[::1]:4433".parse().unwrap(), Pin::of_public_key(b"k"));
    let text = template(listen, &pin);
    let settings = read(&text).unwrap();
    assert_eq!(
        (settings.reach.listen, settings.certificates.backup_pin),
        (vec![ListenAddress::Ip(listen)], Some(pin))
    );
    let changed = text.lines().zip(SHIPPED.lines()).filter(|(new, old)| new != old).count();
    assert_eq!((changed, text.lines().count()), (2, SHIPPED.lines().count()));
}
