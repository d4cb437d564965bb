"""Places by service records: a name server on loopback that tells the truth, cuts it, lies, says nothing, and changes its mind."""
import contextlib
import socket
import struct
import threading
import time

import pytest

import mock_upstream as up
from conftest import SLOW, until
from mock_upstream import Mock
from test_pool import QUICK, places, policy

NAME = "_vllm._tcp.pool.example"


def encoded(name):
    return b"".join(bytes([len(x)]) + x.encode() for x in name.split(".") if x) + b"\0"


class Dns:
    """UDP and TCP on one port. `records`: (priority, weight, port, target); `manner` says how it answers."""

    def __init__(self, records=(), ttl=60):
        self.records, self.ttl, self.manner, self.asked = list(records), ttl, "well", []
        self.stop = threading.Event()
        for _ in range(50):
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind(("127.0.0.1", 0))
            self.tcp = socket.socket()
            try:
                self.tcp.bind(self.udp.getsockname())
                break
            except OSError:
                self.udp.close()
                self.tcp.close()
        self.tcp.listen(8)
        self.port = self.udp.getsockname()[1]
        self.udp.settimeout(0.1)
        self.tcp.settimeout(0.1)

    def __enter__(self):
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self.by_udp, self.by_tcp)]
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()
        self.udp.close()
        self.tcp.close()

    def answer(self, q, tcp):
        self.asked.append("tcp" if tcp else "udp")
        flags, records = 0x8180, self.records
        if self.manner == "cut" and not tcp:
            flags, records = 0x8380, []
        if self.manner == "nxdomain":
            flags, records = 0x8183, []
        if self.manner == "servfail":
            flags, records = 0x8182, []
        end = q.index(b"\0", 12) + 5
        body = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 33, 1, self.ttl, 6 + len(encoded(t))) + struct.pack(">HHH", p, w, port) + encoded(t)
                        for p, w, port, t in records)
        out = q[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0) + q[12:end] + body
        if self.manner == "other id":
            out = bytes([out[0] ^ 1]) + out[1:]
        if self.manner == "half":
            out = out[:len(out) - 3]
        return out

    def by_udp(self):
        while not self.stop.is_set():
            try:
                q, peer = self.udp.recvfrom(4096)
            except OSError:
                continue
            if self.manner == "silent":
                self.asked.append("udp")
                continue
            self.udp.sendto(self.answer(q, False), peer)

    def by_tcp(self):
        while not self.stop.is_set():
            try:
                sock, _ = self.tcp.accept()
            except OSError:
                continue
            with sock, contextlib.suppress(OSError):
                sock.settimeout(2)
                n = struct.unpack(">H", sock.recv(2))[0]
                out = self.answer(sock.recv(n), True)
                sock.sendall(struct.pack(">H", len(out)) + out)


def port_of(mock):
    return int(mock.url.split(":")[2].split("/")[0])


def flags(dns):
    return [*QUICK, "--pool-dns", "300ms", "--pool-nameserver", f"127.0.0.1:{dns.port}"]


def up_ones(m):
    return {u for u, p in places(m).items() if p["state"] == "up"}


def test_records_are_places(start):
    with Mock() as a, Mock() as b, Mock() as c, Dns() as dns:
        dns.records = [(10, 30, port_of(a), "localhost"), (10, 10, port_of(b), "localhost"), (20, 1, port_of(c), "localhost")]
        m = start(policy(f'srv "http://{NAME}/v1"'), *flags(dns))
        until(lambda: a.url in places(m))
        table = places(m)
        assert {u: p["state"] for u, p in table.items() if "127.0.0.1" in u} == {a.url: "up", b.url: "up", c.url: "standby"}
        assert (table[a.url]["weight"], table[b.url]["weight"]) == (1.5, 0.5)
        assert {p["source"] for p in table.values()} == {"discovery"} and table[c.url]["why"] == "others come first"
        for i in range(20):
            assert m.chat(f"question {i}")[0] == 200
        assert a.chats() and not c.chats()
        assert a.chats()[0].header("host") == f"pool.example:{port_of(a)}"
        assert all(how == "udp" for how in dns.asked)
        # The first ones die: the one of the next priority serves, and no client notices.
        a.default = b.default = up.close_at_once
        for i in range(20):
            assert m.chat(f"another {i}")[0] == 200
        assert c.chats() and places(m)[c.url]["state"] == "up"


def test_they_change(start):
    with Mock() as a, Mock() as b, Dns(ttl=1) as dns:
        dns.records = [(0, 0, port_of(a), "localhost")]
        m = start(policy(f'srv "http://{NAME}/v1"'), *QUICK, "--pool-dns", "60s", "--pool-nameserver", f"127.0.0.1:{dns.port}")
        until(lambda: up_ones(m) >= {a.url} and m.chat()[0] == 200)
        codes, stop = [], threading.Event()

        def load():
            while not stop.is_set():
                codes.append(m.chat()[0])
        t = threading.Thread(target=load)
        t.start()
        # Long before the next look by the clock: the time to live is over.
        dns.records = [(0, 0, port_of(b), "localhost")]
        until(lambda: b.url in up_ones(m) and a.url not in places(m), 8)
        stop.set()
        t.join()
        assert set(codes) == {200}
        n = len(dns.asked)
        time.sleep(2)
        assert len(dns.asked) - n <= 3


@pytest.mark.parametrize("manner, why", [("nxdomain", "no services now"), ("servfail", "no name server answers"), ("silent", "no name server answers"),
                                         ("other id", "no name server answers"), ("half", "no name server answers"), ("empty", "no services now"),
                                         ("target", "no services now"), ("nowhere", "no services now")])
def test_what_brings_no_list_changes_nothing(start, manner, why):
    with Mock() as a, Dns() as dns:
        dns.records = [(0, 0, port_of(a), "localhost")]
        m = start(policy(f'srv "http://{NAME}/v1"'), *flags(dns))
        until(lambda: up_ones(m) >= {a.url})
        before, was = up_ones(m), dns.records
        if manner in ("empty", "target", "nowhere"):
            dns.records = {"empty": [], "target": [(0, 0, 80, "a@b")], "nowhere": [(0, 0, 80, ".")]}[manner]
        else:
            dns.manner = manner
        until(lambda: why in m.errors(), 12)
        assert up_ones(m) == before and m.chat()[0] == 200
        line = [x for x in m.errors().splitlines() if why in x]
        assert len(line) == 1 and NAME in line[0] and "its places stay as they are" in line[0]
        dns.manner, dns.records = "well", was
        n = len(dns.asked)
        until(lambda: len(dns.asked) >= n + 2, 12)
        assert up_ones(m) == before


def test_what_is_cut_is_asked_by_tcp(start):
    with Mock() as a, Dns() as dns:
        dns.manner = "cut"
        dns.records = [(1, 1, port_of(a), "localhost")] + [(2 + i, 1, 1 + i, "localhost") for i in range(60)]
        m = start(policy(f'srv "http://{NAME}/v1"'), *flags(dns))
        until(lambda: up_ones(m) >= {a.url})
        assert dns.asked[:2] == ["udp", "tcp"] and m.chat()[0] == 200


def test_they_stay_over_a_reload(start):
    with Mock() as a, Dns() as dns:
        dns.records = [(1, 1, port_of(a), "localhost")]
        m = start(policy(f'srv "http://{NAME}/v1"'), *flags(dns))
        until(lambda: up_ones(m) >= {a.url})
        assert m.chat()[0] == 200
        dns.manner = "silent"
        m.policy.write_text(policy(f'srv "http://{NAME}/v1"', "# once more"))
        until(lambda: "policy reloaded" in m.errors())
        assert m.chat()[0] == 200 and up_ones(m) >= {a.url}


@pytest.mark.parametrize("url", ["http://pool.example/v1", f"http://{NAME}:80/v1", "http://_vllm._udp.pool.example/v1", "http://_vllm._tcp/v1"])
def test_the_checker_reads_the_name(start, url):
    m = start(policy(f'srv "{url}"'), wait=False)
    m.process.wait(20 * SLOW)
    assert m.process.returncode != 0 and "_service._tcp.name" in m.errors()
