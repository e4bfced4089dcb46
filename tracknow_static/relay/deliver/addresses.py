"""Which network addresses a delivery may go to.

A destination's name can lead anywhere: to a cloud's metadata service, to the database next door,
to a public address now and to 127.0.0.1 a second later. Therefore the address itself is judged, at
the moment of connecting, and the connection goes to the very address that was judged.
"""

from __future__ import annotations

import ipaddress

# IANA's special-purpose registries (RFC 6890 and its updates), as far as "globally reachable" is
# false there. Spelt out, since Python's own `is_global` differs from version to version.
_CLOSED = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network; 0.0.0.0 reaches the host itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; 100.100.100.200 is a metadata service
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; 169.254.169.254 is a metadata service
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; 192.0.0.192 is a metadata service
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # 6to4 relays, withdrawn
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "168.63.129.16/32",  # public by number, yet it is Azure's host agent
    )
)
# Only 2000::/3 is handed out as global unicast (RFC 4291, 2.4); these parts of it are not.
_OPEN6 = ipaddress.ip_network("2000::/3")
_CLOSED6 = tuple(
    ipaddress.ip_network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo and ORCHID among them
        "2001:db8::/32",
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
# Prefixes that carry an IPv4 address, and how far it stands from the right end: the address that
# counts is the one within.
_CARRIERS = (
    (ipaddress.ip_network("::ffff:0:0/96"), 0),  # IPv4-mapped
    (ipaddress.ip_network("64:ff9b::/96"), 0),  # NAT64 (RFC 6052)
    (ipaddress.ip_network("2002::/16"), 80),  # 6to4 (RFC 3056)
)


def is_public(text: str) -> bool:
    """Tell whether an IP address, as ``getaddrinfo`` writes it, belongs to the public internet."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            # A zone (fe80::1%eth0) exists on addresses of the local link only.
            return False
        for network, shift in _CARRIERS:
            if address in network:
                return is_public(str(ipaddress.IPv4Address((int(address) >> shift) & 0xFFFFFFFF)))
        return address in _OPEN6 and not any(address in network for network in _CLOSED6)
    return not any(address in network for network in _CLOSED)
