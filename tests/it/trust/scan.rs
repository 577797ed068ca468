//! Other programs look at our server: `openssl` computes the pin, sslyze scans the handshake.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Site, ok, result};

/// Whether a program can be run at all.
fn is_there(program: &str, argument: &str) -> bool {
    Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success())
}

#[test]
fn openssl_computes_the_same_pin() {
    if !is_there("openssl", "version") {
        println!("skipped: there is no openssl");
        return;
    }
    let site = Site::new();
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let line = readme.lines().find(|line| line.starts_with("openssl x509")).unwrap();
    let output = Command::new("sh").args(["-c", line]).current_dir(site.root()).output().unwrap();
    let computed = String::from_utf8(output.stdout).unwrap();
    let shown = result(&ok(site.admin(["--json", "cert", "show"])));
    assert_eq!(format!("sha256//{}", computed.trim()), shown["server_pin"].as_str().unwrap());
}

/// The Python of an environment with sslyze, made once a target directory; why not, otherwise.
fn python_with_sslyze() -> Result<PathBuf, &'static str> {
    if is_there_with("python3", &["-c", "import sslyze"]) {
        return Ok("python3".into());
    }
    if !is_there_with("python3", &["-c", "import venv, ensurepip"]) {
        return Err("there is no python3 with venv and pip");
    }
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sslyze");
    let python = place.join("bin/python");
    let run = |program: &Path, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    if !run(&python, &["-c", "import sslyze"]) {
        let made = run(Path::new("python3"), &["-m", "venv", place.to_str().unwrap_or_default()]);
        let pip = ["-m", "pip", "install", "--quiet", "--timeout", "15", "sslyze==6.3.1"];
        if !made || !run(&python, &pip) {
            return Err("pip cannot install sslyze");
        }
    }
    Ok(python)
}

fn is_there_with(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_scanner_finds_tls13_and_nothing_else() {
    let python = match python_with_sslyze() {
        Ok(python) => python,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let site = Site::new();
    let server = site.start();
    let report = site.directory.path().join("report.json");
    // Its exit status tells whether a certificate authority is trusted, which is not the question.
    let run = Command::new(python)
        .args(["-m", "sslyze", "--json_out"])
        .arg(&report)
        .args(["--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3"])
        // Not `--early_data`: it fails on a server that gives no tickets, which is the point.
        .args(["--resum", "--elliptic_curves"])
        .arg(server.address.to_string())
        .output()
        .unwrap();
    let text = std::fs::read_to_string(&report)
        .unwrap_or_else(|_| panic!("no report: {}", String::from_utf8_lossy(&run.stderr)));
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let scan = &report["server_scan_results"][0];
    assert_eq!(scan["connectivity_status"], "COMPLETED", "{scan:#}");
    let found = |what: &str| &scan["scan_result"][what]["result"];
    let suites = |version: &str| {
        let result = &found(&format!("{version}_cipher_suites"))["accepted_cipher_suites"];
        result.as_array().unwrap_or_else(|| panic!("{version}: {scan:#}")).len()
    };
    for version in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2"] {
        assert_eq!(suites(version), 0, "{version}");
    }
    assert_eq!(suites("tls_1_3"), 3);
    let resumption = found("session_resumption");
    for kind in ["session_id_resumption_result", "tls_ticket_resumption_result"] {
        assert_eq!(resumption[kind], "SERVER_IS_TLS_1_3_ONLY", "{resumption:#}");
    }
    let curves = found("elliptic_curves")["supported_curves"].as_array().unwrap();
    let curves: Vec<_> = curves.iter().map(|curve| curve["name"].as_str().unwrap()).collect();
    assert_eq!(curves, ["X25519", "secp256r1", "secp384r1"]);
}
