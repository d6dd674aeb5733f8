# SPDX-License-Identifier: MIT
"""Networks made for one case: hosts in network namespaces on one bridge, or behind one router.

    Segment(lab, "red", 2).hosts[0] is a Host; a peer made with host=... runs in it.
    Internet(lab, 3).hosts are far from each other: public addresses, a gateway before each.

Namespaces have no names and no processes of their own: an open descriptor keeps
each, so that all of it is gone when the case or the program ends, however it
ends. Where namespaces or `ip` are not to be had, the case skips.
"""
import contextlib
import ctypes
import os
import shutil
import subprocess
import threading

from harness import Failed, Skip

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def enter(descriptor):
    """Moves the calling thread into a namespace."""
    if LIBC.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def current():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Host:
    """A network namespace with an interface lan0, once it is plugged in."""

    def __init__(self, address, address6):
        self.address, self.address6 = address, address6
        self.namespace = None
        made = threading.Thread(target=self.make)  # a thread of its own: the others stay where they are
        made.start()
        made.join()
        if self.namespace is None:
            raise Skip("network namespaces are not permitted here")

    def make(self):
        if LIBC.unshare(CLONE_NEWNET) == 0:
            self.namespace = current()

    @contextlib.contextmanager
    def inside(self):
        """The calling thread, and what it starts meanwhile, is in the namespace."""
        back = current()
        try:
            enter(self.namespace)
            yield
        finally:
            enter(back)
            os.close(back)

    def ip(self, *arguments):
        with self.inside():
            done = subprocess.run(["ip", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=20, check=False)
        if done.returncode != 0:
            raise Failed(f"ip {' '.join(arguments)}: {done.stderr.strip()}")

    def close(self):
        if self.namespace is not None:
            os.close(self.namespace)
        self.namespace = None


class Segment:
    """`count` hosts on one bridge: 10.<network>.0.1 and so on, fd00:<network>::1 and so on."""

    def __init__(self, lab, network, count):
        if shutil.which("ip") is None:
            raise Skip("no ip command (Debian: apt-get install iproute2)")
        self.hub = self.host(lab, "", "")
        self.hub.ip("link", "add", "bridge0", "type", "bridge", "mcast_snooping", "0")
        self.hub.ip("link", "set", "bridge0", "up")
        self.hosts = []
        for number in range(1, count + 1):
            host = self.host(lab, f"10.{network}.0.{number}", f"fd00:{network}::{number}")
            self.plug(host, number)
            self.hosts.append(host)

    @staticmethod
    def host(lab, address, address6):
        made = Host(address, address6)
        lab.stack.callback(made.close)
        return made

    def plug(self, host, number):
        port = f"port{number}"
        with host.inside():
            here = current()
        try:
            self.hub.ip("link", "add", port, "type", "veth", "peer", "name", "lan0", "netns",
                        f"/proc/{os.getpid()}/fd/{here}")
        finally:
            os.close(here)
        self.hub.ip("link", "set", port, "master", "bridge0", "up")
        host.ip("link", "set", "lo", "up")
        host.ip("addr", "add", f"{host.address}/16", "dev", "lan0")
        host.ip("link", "set", "lan0", "up")
        host.ip("route", "add", "224.0.0.0/4", "dev", "lan0")
        with contextlib.suppress(Failed):  # a machine without IPv6
            host.ip("-6", "addr", "add", f"{host.address6}/64", "dev", "lan0", "nodad")


class Internet:
    """`count` hosts behind a router, with addresses that all peers call public: 25.<number>.0.1, each a network of its own.

    A router is between them because go-libp2p calls a host local that it reaches without a gateway, and each has a /16
    of its own because routing tables take few peers of one. The range belongs to somebody; no route leads out of here.
    """

    def __init__(self, lab, count):
        if shutil.which("ip") is None:
            raise Skip("no ip command (Debian: apt-get install iproute2)")
        self.router = Segment.host(lab, "", "")
        self.router.ip("link", "set", "lo", "up")
        try:
            with self.router.inside(), open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as switch:
                switch.write("1")
        except OSError as problem:
            raise Skip(f"no router can be made here: {problem}") from None
        self.hosts = [self.plug(Segment.host(lab, f"25.{number}.0.1", ""), number) for number in range(1, count + 1)]

    def plug(self, host, number):
        port = f"port{number}"
        with host.inside():
            here = current()
        try:
            self.router.ip("link", "add", port, "type", "veth", "peer", "name", "wan0", "netns",
                           f"/proc/{os.getpid()}/fd/{here}")
        finally:
            os.close(here)
        self.router.ip("addr", "add", f"25.{number}.0.254/16", "dev", port)
        self.router.ip("link", "set", port, "up")
        host.ip("link", "set", "lo", "up")
        host.ip("addr", "add", f"{host.address}/16", "dev", "wan0")
        host.ip("link", "set", "wan0", "up")
        host.ip("route", "add", "default", "via", f"25.{number}.0.254")
        return host

    @contextlib.contextmanager
    def parted(self, first):
        """What is sent between the first so many hosts (a power of two less one) and the others is lost meanwhile."""
        near, far = f"25.0.0.0/{8 - first.bit_length() + 8}", "25.0.0.0/8"
        rules = (("from", near, "to", near, "lookup", "main", "pref", "100"),
                 ("from", near, "to", far, "blackhole", "pref", "101"), ("from", far, "to", near, "blackhole", "pref", "101"))
        for rule in rules:
            self.router.ip("rule", "add", *rule)
        try:
            yield
        finally:
            for rule in rules[1:]:
                self.router.ip("rule", "del", *rule)
