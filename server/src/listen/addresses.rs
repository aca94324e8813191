//! From the addresses of a port to what listens there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use rustix::net::sockopt::set_ipv6_v6only;
use tokio::net::{TcpListener, TcpSocket, lookup_host};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Listens on all of these addresses; without any on loopback, and of IPv6 only where there is such a thing.
pub(crate) async fn bind(addresses: &[String], port: u16) -> io::Result<Vec<TcpListener>> {
    if addresses.is_empty() {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let asked = first.local_addr()?.port();
        return match TcpListener::bind((Ipv6Addr::LOCALHOST, asked)).await {
            Ok(second) => Ok(vec![first, second]),
            Err(error) if is_without_ipv6(&error) => Ok(vec![first]),
            // A port that was taken freely may be another's there.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && port == 0 => Ok(vec![first]),
            // Whoever has it would get what is meant for us by those who say `localhost`.
            Err(error) => Err(error),
        };
    }
    let mut listeners: Vec<TcpListener> = Vec::with_capacity(addresses.len());
    for address in addresses {
        // A port that is taken freely is the same for all addresses.
        let port = match listeners.first() {
            Some(first) => first.local_addr()?.port(),
            None => port,
        };
        let address = resolve(address.trim(), port).await?;
        let is_beside_ipv4 = listeners.iter().any(|one| one.local_addr().is_ok_and(|one| one.is_ipv4()));
        listeners.push(if address.is_ipv6() && is_beside_ipv4 {
            bind_ipv6_only(address)?
        } else {
            TcpListener::bind(address).await?
        });
    }
    Ok(listeners)
}

/// Whether an address of IPv6 cannot be had because this machine does not speak it, or has it switched off.
fn is_without_ipv6(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT))
}

/// `::` alone takes calls of IPv4 as well; beside an address of IPv4 it would be taken already.
fn bind_ipv6_only(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v6()?;
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    set_ipv6_v6only(&socket, true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn resolve(address: &str, port: u16) -> io::Result<SocketAddr> {
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok((address, port).into());
    }
    let found = lookup_host((bare, port)).await?.next();
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{address} has no address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_machine_without_ipv6_may_do_without() {
        let fails = |code: Errno| is_without_ipv6(&code.into());
        assert!([Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT].into_iter().all(fails));
        assert!(![Errno::ADDRINUSE, Errno::ACCESS, Errno::MFILE].into_iter().any(fails));
    }
}
