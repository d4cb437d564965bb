"""Where a request comes from: the setting, the key and the header, and the place that is nearest to it."""
import json
import subprocess

import mock_upstream as up
from conftest import MERIT

POLICY = """policy "regions" version 1
zone local
model m zone local endpoint "{eu}" region eu, "{us}" region us  context 32k tok output 1k tok price 1 in, 2 out usd/Mtok
dispatch price second 0.01 usd
otherwise -> answer(m)
"""


def key(folder, *more):
    made = subprocess.run([str(MERIT), "key", "create", "--caller", "ada", "--keys", str(folder / "merit.keys"), "--json", *more],
                          capture_output=True, text=True, check=True)
    return json.loads(made.stdout)


def first(start, eu, us, *flags, **headers):
    """Where the first request of a server goes, of whose places nothing is learned yet."""
    m = start(POLICY.format(eu=eu.url, us=us.url), *flags)
    seen = len(eu.chats()), len(us.chats())
    status, _, body = m.chat("hello", headers=headers)
    assert status == 200, body
    m.stop()
    return "eu" if len(eu.chats()) > seen[0] else "us"


def test_the_nearest_place_is_the_first(start, scratch):
    with up.Mock() as eu, up.Mock() as us:
        for _ in range(3):  # which of two equal ones is drawn
            assert first(start, eu, us, "--region", "us") == "us"
            assert first(start, eu, us, "--region", "eu") == "eu"
        far = key(scratch, "--region", "us")
        steers = key(scratch, "--region", "us", "--scopes", "traffic,route-headers")
        assert far["region"] == "us" and "region=us" in (scratch / "merit.keys").read_text()
        keys = ("--keys", scratch / "merit.keys", "--region", "eu")
        for _ in range(3):
            assert first(start, eu, us, *keys, authorization=f"Bearer {far['secret']}") == "us"
            both = {"authorization": f"Bearer {steers['secret']}", "x-merit-region": "eu"}
            assert first(start, eu, us, *keys, **both) == "eu"
            both["authorization"] = f"Bearer {far['secret']}"  # who may not steer is not heard
            assert first(start, eu, us, *keys, **both) == "us"


def test_what_is_no_region(start, mock, scratch):
    steers = key(scratch, "--scopes", "traffic,route-headers")
    m = start(POLICY.format(eu=mock.url, us=mock.url), "--keys", scratch / "merit.keys")
    status, _, body = m.chat("hello", headers={"authorization": f"Bearer {steers['secret']}", "x-merit-region": "e u"})
    assert status == 400 and json.loads(body)["error"]["code"] == "bad_region"
    bad = subprocess.run([str(MERIT), "key", "create", "--caller", "a", "--region", "e u", "--keys", str(scratch / "k")],
                         capture_output=True, text=True, check=False)
    assert bad.returncode == 2 and "--region" in bad.stderr
    ended = start(POLICY.format(eu=mock.url, us=mock.url), "--region", "e u", wait=False)
    assert ended.process.wait(20) == 2 and "region is one name" in ended.errors()
