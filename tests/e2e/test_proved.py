"""What is proved before it serves: a policy with an error of the check neither starts nor reloads, and says why."""
import json
import os
import re
import signal
import subprocess

from conftest import MERIT, PATIENCE, ROOT, policy_text, until

LABELS = """
lattice exposure = public < internal < phi
zone cloud clears internal
model far zone cloud endpoint "http://127.0.0.1:9/v1" context 32k tok output 4k tok price 1 in, 2 out usd/Mtok
signal secret = keywords("secret")
signal data label exposure = max(phi when secret)
"""


def labelled(url, more):
    return policy_text({"small": url}, more=LABELS + more).replace("zone local\n", "zone local clears phi\n", 1)


def refused(path):
    """What `merit serve` says of a policy that it does not take."""
    done = subprocess.run([MERIT, "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", str(path)],
                          capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1, (done.returncode, done.stderr)
    return done.stderr


def test_a_leak_does_not_start(tmp_path, mock):
    path = tmp_path / "leak.merit"
    path.write_text(labelled(mock.url, ""))
    said = refused(path)
    assert "error[flow]: a request labelled `phi` reaches model `far` in zone `cloud`" in said
    # What the finding shows, the router does.
    witness = re.search(r"witness: (\{.*\})", said).group(1)
    done = subprocess.run([MERIT, "route", "--policy", path, "--model", "far", "--given", witness, "--json", "hello"],
                          capture_output=True, text=True, timeout=PATIENCE)
    assert json.loads(done.stdout)["model"] == "far", done.stdout + done.stderr


def test_steps_that_this_build_does_not_run_are_named():
    said = refused(ROOT / "examples" / "clinic.merit")
    assert "[unserved]" in said and "needs `verify`" in said


def test_a_leak_does_not_reload(start, mock):
    m = start(labelled(mock.url, "forbid zone below data"))
    assert "proved   no request reaches a place that does not clear its label (exposure)" in m.errors()
    before = len(m.errors())
    m.policy.write_text(labelled(mock.url, ""))
    m.signal(signal.SIGHUP)
    until(lambda: "error[flow]" in m.errors()[before:])
    until(lambda: "stays in force" in m.errors()[before:])
    assert m.chat()[1].get("x-merit-model") == "small"
    m.policy.write_text(labelled(mock.url, "forbid zone cloud when data == phi"))
    m.signal(signal.SIGHUP)
    until(lambda: "policy reloaded" in m.errors()[before:])


def test_the_cache_keeps_what_was_proved(start, mock, tmp_path):
    env = {**os.environ, "MERIT_CACHE": str(tmp_path / "cache")}
    text = labelled(mock.url, "forbid zone below data")
    first = start(text, "--cache", str(tmp_path / "cache"), env=env)
    first.stop()
    assert list((tmp_path / "cache").glob("**/*.policy"))
    again = start(text, "--cache", str(tmp_path / "cache"), env=env)
    assert "from the cache" in again.errors() and "proved   " in again.errors()
