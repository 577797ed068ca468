//! The address that clients are given.

use super::{AdminError, Pins, Reach};
use sealane_base::types::text::printable;
use sealane_base::types::{Address, ListenAddress, PinSet, RemotePath, Username};

/// The address of a server with all its pins; the server's own comes first.
///
/// The host is the public one if configured, else the one it listens on. A server that listens on
/// every interface is given the machine's own name, which need not be the one clients know. Port 0
/// stays 0: which port it stands for is known only while the server runs.
///
/// # Errors
/// [`AdminError::HostName`].
pub fn address(reach: &Reach, pins: &Pins, user: Option<Username>) -> Result<Address, AdminError> {
    let (host, port) = host_and_port(reach)?;
    let pins = [Some(pins.server), pins.next, pins.backup].into_iter().flatten().collect();
    let pins = PinSet::new(pins).map(|pins| pins.iter().copied().collect()).unwrap_or_default();
    Ok(Address { user, host, port, path: RemotePath::default(), is_directory: true, pins })
}

pub(super) fn host_and_port(reach: &Reach) -> Result<(String, u16), AdminError> {
    match &reach.public {
        Some(public) => Ok((public.host.clone(), public.port)),
        None => match reach.listen.first() {
            Some(first) => Ok((listening_host(first)?, first.port())),
            None => Err(AdminError::HostName(String::new())),
        },
    }
}

fn listening_host(address: &ListenAddress) -> Result<String, AdminError> {
    let ip = match address {
        ListenAddress::Ip(address) => address.ip(),
        ListenAddress::Name(name, _) => return Ok(name.clone()),
    };
    if ip.is_unspecified() {
        machine_name()
    } else if ["127.0.0.1", "::1"].contains(&ip.to_string().as_str()) {
        // Other loopback addresses are not what this name stands for.
        Ok("localhost".into())
    } else {
        Ok(ip.to_string())
    }
}

fn machine_name() -> Result<String, AdminError> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    match Address::parse(&format!("sealane://{name}/")) {
        Ok(parsed) if parsed.host == name => Ok(name),
        _ => Err(AdminError::HostName(printable(&name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealane_base::types::Pin;

    fn pins() -> Pins {
        Pins {
            server: Pin::of_public_key(b"s"),
            next: None,
            backup: Some(Pin::of_public_key(b"b")),
        }
    }

    fn host(listen: &str, public: Option<&str>) -> String {
        let public = public.map(|text| Address::parse(text).unwrap());
        let listen = listen.split(' ').map(|one| ListenAddress::parse(one).unwrap()).collect();
        let reach = Reach { listen, public };
        address(&reach, &pins(), None).unwrap().host_port()
    }

    #[test]
    fn the_host_is_the_one_that_reaches_the_server() {
        assert_eq!(host("127.0.0.1:9901", None), "localhost:9901");
        assert_eq!(host("[::1]:9901", None), "localhost:9901");
        assert_eq!(host("127.0.0.2:9901", None), "127.0.0.2:9901");
        assert_eq!(host("[fe80::1]:7", None), "[fe80::1]:7");
        assert_eq!(host("127.0.0.1:0", None), "localhost:0");
        assert_eq!(host("files.example:7 127.0.0.1:9901", None), "files.example:7");
        assert_eq!(host("0.0.0.0:1", Some("sealane://files.example:2")), "files.example:2");
        let name = rustix::system::uname().nodename().to_str().unwrap().to_owned();
        assert_eq!(host("0.0.0.0:9901", None), format!("{name}:9901"));
        assert_eq!(host("[::]:9901", None), format!("{name}:9901"));
    }

    #[test]
    fn it_reads_back_with_both_pins_and_the_account() {
        let listen = ListenAddress::parse("127.0.0.1:9901").into_iter().collect();
        let reach = Reach { listen, public: None };
        let user = Some(Username::parse("ahpu").unwrap());
        let made = address(&reach, &pins(), user).unwrap();
        assert_eq!(Address::parse(&made.to_string()).unwrap(), made);
        assert_eq!(made.pins, [pins().server, pins().backup.unwrap()]);
        let twice = Pins { backup: Some(pins().server), ..pins() };
        assert_eq!(address(&reach, &twice, None).unwrap().pins, [pins().server]);
    }
}
