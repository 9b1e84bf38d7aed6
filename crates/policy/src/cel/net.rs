//! Addresses and networks.

use std::net::IpAddr;

use super::Error;
use super::value::{Val, text};

/// Functions of one text.
pub(super) fn function<'a>(name: &str, value: &str) -> Result<Val<'a>, Error> {
    let address: Option<IpAddr> = value.parse().ok().filter(|_| !value.contains('%'));
    let network = cidr(value);
    let wrong = |what: &str| Error::new(format!("`{value}` is no {what}"));
    Ok(match name {
        "isIP" => Val::Bool(address.is_some()),
        "isCIDR" => Val::Bool(network.is_some()),
        "ip.isCanonical" => Val::Bool(address.ok_or_else(|| wrong("IP address"))?.to_string() == value),
        "ip" => Val::Ip(address.ok_or_else(|| wrong("IP address"))?),
        _ => network.map(|(address, bits)| Val::Cidr(address, bits)).ok_or_else(|| wrong("network"))?,
    })
}

fn cidr(value: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = value.split_once('/')?;
    let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
    let most = if address.is_ipv4() { 32 } else { 128 };
    (bits <= most).then_some((address, bits))
}

/// The first bits of an address.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(u32::from(32 - bits.min(32))).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(u32::from(128 - bits.min(128))).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

/// Methods of an address.
pub(super) fn of_ip<'a>(name: &str, address: IpAddr) -> Option<Val<'a>> {
    let flag = match (name, address) {
        ("family", _) => return Some(Val::Int(if address.is_ipv4() { 4 } else { 6 })),
        ("isUnspecified", _) => address.is_unspecified(),
        ("isLoopback", _) => address.is_loopback(),
        ("isLinkLocalMulticast", IpAddr::V4(v4)) => v4.octets().starts_with(&[224, 0, 0]),
        ("isLinkLocalMulticast", IpAddr::V6(v6)) => v6.segments().first().is_some_and(|first| first & 0xff0f == 0xff02),
        ("isLinkLocalUnicast", IpAddr::V4(v4)) => v4.is_link_local(),
        ("isLinkLocalUnicast", IpAddr::V6(v6)) => v6.is_unicast_link_local(),
        ("isGlobalUnicast", _) => {
            let local = of_ip("isLinkLocalUnicast", address);
            !address.is_unspecified()
                && !address.is_loopback()
                && !address.is_multicast()
                && !matches!(local, Some(Val::Bool(true)))
                && address != IpAddr::V4(std::net::Ipv4Addr::BROADCAST)
        }
        _ => return None,
    };
    Some(Val::Bool(flag))
}

/// Methods of a network.
pub(super) fn of_cidr<'a>(name: &str, address: IpAddr, bits: u8, args: &[Val<'a>]) -> Result<Option<Val<'a>>, Error> {
    let network = masked(address, bits);
    let contains = |other: IpAddr, other_bits: u8| {
        other.is_ipv4() == address.is_ipv4() && other_bits >= bits && masked(other, bits) == network
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    Ok(Some(match (name, args) {
        ("ip", []) => Val::Ip(address),
        ("prefixLength", []) => Val::Int(i64::from(bits)),
        ("masked", []) => Val::Cidr(network, bits),
        ("containsIP", [Val::Ip(other)]) => Val::Bool(contains(*other, most)),
        ("containsIP", [Val::Text(other)]) => match function("ip", other)? {
            Val::Ip(other) => Val::Bool(contains(other, most)),
            _ => return Ok(None),
        },
        ("containsCIDR", [Val::Cidr(other, other_bits)]) => Val::Bool(contains(*other, *other_bits)),
        ("containsCIDR", [Val::Text(other)]) => match function("cidr", other)? {
            Val::Cidr(other, other_bits) => Val::Bool(contains(other, other_bits)),
            _ => return Ok(None),
        },
        ("string", []) => text(format!("{address}/{bits}")),
        _ => return Ok(None),
    }))
}
