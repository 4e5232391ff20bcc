//! How far an address reaches: whether it may be spoken to on the word of a configuration, of a listed origin only, or never.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far an address reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Anywhere on the internet.
    Public,
    /// This machine, this network or one like it: loopback, private, link-local, shared (CGNAT), documentation.
    Private,
    /// No system that an adapter speaks to: multicast, unspecified, reserved, a cloud's metadata service.
    Never,
}

/// The metadata service of the large clouds, in both families.
const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Judges an address. One that carries an IPv4 address inside is judged by that.
pub fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    if address == METADATA_V4 || a == 0 || a >= 224 {
        return Reach::Never;
    }
    let is_private = address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (18..20).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99);
    if is_private { Reach::Private } else { Reach::Public }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let parts = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        reach_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        _ if address.is_loopback() => Reach::Private,
        _ if address == METADATA_V6 => Reach::Never,
        // IPv4-mapped; NAT64; 6to4.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Unspecified and IPv4-compatible; local NAT64; Teredo.
        [0, 0, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] | [0x2001, 0, ..] => Reach::Never,
        [first, ..] if first & 0xff00 == 0xff00 => Reach::Never,
        // Unique local, link-local, the old site-local; documentation.
        [first, ..] if first & 0xfe00 == 0xfc00 || first & 0xff80 == 0xfe80 => Reach::Private,
        [0x2001, 0xdb8, ..] | [0x3fff, ..] => Reach::Private,
        // Only 2000::/3 has been given out.
        [first, ..] if first & 0xe000 == 0x2000 => Reach::Public,
        _ => Reach::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_judged_by_where_it_really_leads() {
        let check = |address: &str, expected: Reach| {
            assert_eq!(reach(address.parse().unwrap()), expected, "{address}");
        };
        for public in ["8.8.8.8", "203.162.0.11", "172.32.0.1", "100.128.0.1", "2400:6540::1", "::ffff:8.8.8.8"] {
            check(public, Reach::Public);
        }
        for private in [
            "127.0.0.1",
            "127.8.9.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "198.18.0.1",
            "192.0.2.1",
            "192.0.0.8",
            "::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "2001:db8::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
        ] {
            check(private, Reach::Private);
        }
        for never in [
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "169.254.169.254",
            "::",
            "::7f00:1",
            "ff02::1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fd00:ec2::254",
            "2001::1",
            "4000::1",
            "::ffff:0.0.0.0",
        ] {
            check(never, Reach::Never);
        }
    }
}
