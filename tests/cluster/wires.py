"""The network between hosts: a bridge in the hub, and a cable to each host.

Run as a program of its own, because it enters their namespaces, which are named by process ids:
``wires.py lay HUB NETWORK HOST...``, or ``wires.py up|down HUB NUMBER``.
"""

from __future__ import annotations

import sys

from pyroute2 import IPRoute, netns

BITS = 24
LOOPBACK = 1


def enter(pid: str) -> None:
    netns.setns(f"/proc/{pid}/ns/net")


def switch_on(ip: IPRoute, name: str, address: str = "", **settings: object) -> None:
    (index,) = ip.link_lookup(ifname=name)
    if address:
        ip.addr("add", index=index, address=address, prefixlen=BITS)
    ip.link("set", index=index, state="up", **settings)


def lay(hub: str, network: str, hosts: list[str]) -> None:
    """Connect all hosts; the hub has the number 1, they have 10, 11, ..."""
    enter(hub)
    with IPRoute() as ip:
        ip.link("set", index=LOOPBACK, state="up")
        ip.link("add", ifname="hub", kind="bridge")
        switch_on(ip, "hub", f"{network}.1")
        (bridge,) = ip.link_lookup(ifname="hub")
        for number, pid in enumerate(hosts):
            peer = {"ifname": "eth0", "net_ns_fd": f"/proc/{pid}/ns/net"}
            ip.link("add", ifname=f"cable{number}", kind="veth", peer=peer)
            switch_on(ip, f"cable{number}", master=bridge)
    for number, pid in enumerate(hosts):
        enter(pid)
        with IPRoute() as ip:
            ip.link("set", index=LOOPBACK, state="up")
            switch_on(ip, "eth0", f"{network}.{10 + number}")


def main() -> None:
    what, hub, *others = sys.argv[1:]
    if what == "lay":
        lay(hub, others[0], others[1:])
        return
    enter(hub)
    with IPRoute() as ip:
        (index,) = ip.link_lookup(ifname=f"cable{others[0]}")
        ip.link("set", index=index, state=what)


if __name__ == "__main__":
    main()
