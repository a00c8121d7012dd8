//! The addresses that a namespace's own key manager may be at: the operator lends tenants no way to what only it can reach.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A name has addresses, but none that may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("no allowed address")]
pub(super) struct NotAllowed;

/// The IPv4 address behind an IPv6 one that only writes it differently (RFC 4291 section 2.5.5, RFC 6052 section 2.1).
fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let [prefix @ .., high, low] = six.segments();
    let translated = prefix == [0x64, 0xff9b, 0, 0, 0, 0];
    let compatible = prefix == [0; 6] && high != 0;
    if translated || compatible {
        let bits = (u32::from(high) << 16) | u32::from(low);
        return Ipv4Addr::from_bits(bits).into();
    }
    six.to_canonical()
}

/// Whether a tenant's key manager may be at `address`; `own` are those of the API server and the operator.
///
/// Private ranges (RFC 1918, RFC 4193) stay allowed: a key manager inside the network is the usual case.
pub(super) fn allowed(address: IpAddr, own: &[IpAddr]) -> bool {
    let address = canonical(address);
    let special = match address {
        // 0.0.0.0 connects to this machine; the rest of 0.0.0.0/8 is no place at all (RFC 1122 section 3.2.1.3).
        IpAddr::V4(four) => {
            four.is_loopback()
                || four.is_link_local()
                || four.is_multicast()
                || four.is_broadcast()
                || four.octets()[0] == 0
        }
        IpAddr::V6(six) => {
            six.is_loopback() || six.is_unicast_link_local() || six.is_multicast() || six == Ipv6Addr::UNSPECIFIED
        }
    };
    !special && !own.iter().any(|own| canonical(*own) == address)
}

/// The system's resolver; with a guard it gives only allowed addresses, so the one checked is the one connected to.
#[derive(Debug)]
pub(super) struct Resolver {
    /// The API server's and the operator's addresses, for a tenant's key manager.
    pub(super) guard: Option<Vec<IpAddr>>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.guard.clone();
        Box::pin(async move {
            // The port is the URL's, set by the connector.
            let mut found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            if let Some(own) = guard {
                found.retain(|found| allowed(found.ip(), &own));
            }
            if found.is_empty() {
                return Err(NotAllowed.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_operator_can_reach_is_refused_however_it_is_written() {
        let own: [IpAddr; 2] = ["10.96.0.1".parse().unwrap(), "::ffff:10.1.2.3".parse().unwrap()];
        let refused = "127.0.0.1 127.9.9.9 ::1 0.0.0.0 0.1.2.3 :: 169.254.169.254 fe80::1 febf::1 224.0.0.1 ff02::1 \
                       255.255.255.255 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 64:ff9b::127.0.0.1 \
                       64:ff9b::a9fe:a9fe 10.96.0.1 ::ffff:10.96.0.1 10.1.2.3";
        for address in refused.split_whitespace() {
            assert!(!allowed(address.parse().unwrap(), &own), "{address}");
        }
        let fine = "10.96.0.2 192.168.1.1 172.16.0.1 8.8.8.8 fd00::1 2001:db8::1 ::ffff:8.8.8.8 64:ff9b::808:808";
        for address in fine.split_whitespace() {
            assert!(allowed(address.parse().unwrap(), &own), "{address}");
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_has_no_address_for_a_tenant() {
        let resolve = |guard| async move { Resolver { guard }.resolve("localhost".parse().unwrap()).await };
        assert!(resolve(None).await.unwrap().all(|found| found.ip().is_loopback()));
        let error = resolve(Some(vec![])).await.err().unwrap();
        assert!(error.downcast_ref::<NotAllowed>().is_some());
    }
}
