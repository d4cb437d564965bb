"""Starts `merit` on free ports with a scratch folder, and stops it by its pid.

MERIT_BIN is the binary (build/dev/merit when unset), MERIT_PRESET the build's name. A test whose server ends with a
sanitizer's report, or does not end on SIGTERM, has failed. In CI a skipped test is a failure, unless hardware lacks.
"""
import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import openai
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from mock_upstream import Mock  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MERIT = pathlib.Path(os.environ.get("MERIT_BIN", ROOT / "build" / "dev" / "merit")).resolve()
PRESET = os.environ.get("MERIT_PRESET", "dev")
# Sanitizers make everything slower; limits in tests are multiplied by this.
SLOW = {"asan": 3, "tsan": 6}.get(PRESET, 1)
# For what must come: how long to wait before it is called missing. It costs time only where a test fails.
PATIENCE = 60 if SLOW == 1 else 150
REPORT = re.compile(r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed")


def free_port():
    """A port that nobody else gets: below those that the kernel hands out, and another one for each caller of all the
    test runs on this machine, so that nothing listens there before the caller does, and nothing at all if it does not."""
    with open(f"{tempfile.gettempdir()}/merit-ports-{os.getuid()}", "a+") as last:
        fcntl.flock(last, fcntl.LOCK_EX)
        last.seek(0)
        port = int(last.read() or 0)
        for _ in range(12000):
            port = port + 1 if 20000 <= port < 31999 else 20000
            with socket.socket() as s, contextlib.suppress(OSError):
                s.bind(("127.0.0.1", port))
                break
        last.truncate(0)
        last.write(str(port))
    return port


def until(what, seconds=0, step=0.02):
    """Waits for a true value of `what()` and returns it. `seconds`: where it is long overdue after that on an idle
    machine; a busy one gets three times as long."""
    limit = 3 * seconds * SLOW if seconds else PATIENCE
    end = time.monotonic() + limit
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit} s in vain")
        time.sleep(step)


def policy_text(models, routes="", more="", name="e2e"):
    """A policy over `models`: {name: url, [url, url] or clauses}; `routes` go before `otherwise` (the first model)."""
    out = [f'policy "{name}" version 1', "", "zone local", ""]
    for model, where in models.items():
        if isinstance(where, str) and not where.startswith("http"):
            out.append(f"model {model} {where}")
            continue
        urls = [where] if isinstance(where, str) else where
        out.append(f"model {model} zone local  endpoint {', '.join(json.dumps(u) for u in urls)}\n"
                   "    context 32k tok  output 4k tok  can tools, images, schema\n"
                   "    price 0.5 in, 1.5 out usd/Mtok")
    first = next(iter(models))
    return "\n".join(out) + f"\n\n{more}\n{routes}\notherwise -> answer({first})\n"


ROOTS = ssl.create_default_context()


def sdk(m, key="none", seconds=60, retries=0):
    """The official package's client of this server. The root certificates, which take most of its making, are read once."""
    return openai.OpenAI(base_url=m.v1, api_key=key, max_retries=retries, timeout=seconds * SLOW,
                         http_client=openai.DefaultHttpxClient(verify=ROOTS))


class Merit:
    """A running server."""

    def __init__(self, folder, policy, flags, env, host, wait, listen_flags):
        self.folder = folder
        self.port, self.admin_port = free_port(), free_port()
        self.host = host
        self.stdout, self.stderr = folder / "stdout.log", folder / "stderr.log"
        self.policy = None
        args = [str(MERIT), "serve"]
        if policy is not None:
            self.policy = folder / "policy.merit"
            self.policy.write_text(policy) if isinstance(policy, str) else self.policy.write_bytes(policy)
            args.append(str(self.policy))
        if listen_flags:
            args += ["--listen", f"{host}:{self.port}", "--admin-listen", f"127.0.0.1:{self.admin_port}"]
        args += ["--threads", "2", "--cache", "off", *[str(f).replace("{port}", str(self.port)) for f in flags]]
        full = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **(env or {})}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                full[name] = os.environ[name]
        self.args = args
        with open(self.stdout, "wb") as out, open(self.stderr, "wb") as err:
            self.process = subprocess.Popen(args, stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=folder,
                                            env=full)
        self.exit_checked = False
        if wait:
            self.wait_ready()

    @property
    def base(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def v1(self):
        return self.base + "/v1"

    def wait_ready(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"merit ended with {self.process.returncode}:\n{self.errors()}")
            if re.search(r"^merit \S+ ready", self.errors(), re.M):
                return
            time.sleep(0.01)
        raise AssertionError(f"merit was not ready in time:\n{self.errors()}")

    def errors(self):
        return self.stderr.read_text(errors="replace")

    def alive(self):
        return self.process.poll() is None

    def request(self, method="GET", path="/health", body=None, headers=None, admin=False, timeout=30):
        """(status, headers as a lower-cased dict, body bytes)."""
        c = http.client.HTTPConnection("127.0.0.1", self.admin_port if admin else self.port, timeout=timeout * SLOW)
        try:
            h = dict(headers or {})
            if isinstance(body, (dict, list)):
                body = json.dumps(body).encode()
                h.setdefault("Content-Type", "application/json")
            c.request(method, path, body, h)
            r = c.getresponse()
            return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
        finally:
            c.close()

    def chat(self, text="Say hello.", headers=None, **fields):
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], **fields}
        return self.request("POST", "/v1/chat/completions", body, headers)

    def raw(self, data, timeout=10, read=True, half_close=False):
        """Sends these bytes and reads to the end (or the timeout)."""
        with socket.create_connection(("127.0.0.1", self.port), timeout * SLOW) as s:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
            out = b""
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while read:
                    got = s.recv(65536)
                    if not got:
                        break
                    out += got
            return out

    def admin(self, path, method="GET", body=None, headers=None):
        return self.request(method, path, body, headers, admin=True)

    def metrics(self):
        return self.admin("/metrics")[2].decode()

    def metric(self, pattern):
        """Sum of the samples whose name and labels match."""
        return sum(float(line.rsplit(" ", 1)[1]) for line in self.metrics().splitlines()
                   if not line.startswith("#") and re.match(pattern, line))

    def idle(self):
        """Waits until no request runs. A client that reads no further than [DONE] may be ahead of what is counted."""
        until(lambda: self.metric("merit_in_flight") == 0)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, seconds=30):
        """SIGTERM; the exit code, checked to be clean."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"merit did not end on SIGTERM\n{self.errors()[-3000:]}") from None
        errors = self.errors()
        assert not REPORT.search(errors), errors[-6000:]
        assert code == 0, f"merit ended with {code}\n{errors[-3000:]}"
        return code


@pytest.fixture(scope="session", autouse=True)
def _binary():
    if not MERIT.exists():
        pytest.exit(f"{MERIT} is not there: build it first (make test)", 2)


@pytest.fixture(autouse=True)
def _no_turn_of_the_day():
    """Budgets are of a day and figures of an hour: no test begins just before a new one."""
    left = 3600 - time.time() % 3600
    if left < 10 * SLOW:
        time.sleep(left + 0.1)


@pytest.fixture
def scratch(tmp_path):
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def start(scratch, request):
    """start(policy, *flags) -> Merit; stopped and checked at the end of the test."""
    running = request.node.merits = []

    def begin(policy=None, *flags, env=None, host="127.0.0.1", wait=True, listen_flags=True):
        folder = scratch / f"merit{len(running)}"
        folder.mkdir()
        m = Merit(folder, policy, flags, env, host, wait, listen_flags)
        running.append(m)
        return m

    yield begin
    problems = []
    for m in running:
        try:
            if m.process.poll() is None:
                m.stop()
            assert not REPORT.search(m.errors()), m.errors()[-6000:]
        except AssertionError as e:
            problems.append(str(e))
    assert not problems, "\n".join(problems)


@pytest.fixture
def mock(request):
    with Mock() as m:
        request.node.mock = m
        yield m


@pytest.fixture
def served(start, mock):
    """A server whose every request goes to the mock."""
    m = start(policy_text({"small": mock.url}))
    m.mock = mock
    return m


def run_program(args, cwd, env=None, seconds=120, check=True):
    """Runs somebody else's client with a clean environment; stops its whole process group when it takes too long."""
    full = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LANG": "C.UTF-8", "NO_COLOR": "1", **(env or {})}
    p = subprocess.Popen([str(a) for a in args], cwd=cwd, env=full, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        out, err = p.communicate(timeout=seconds * SLOW)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(p.pid, signal.SIGKILL)
        out, err = p.communicate()
        raise AssertionError(f"{args[0]} took longer than {seconds} s\n{out[-3000:]}\n{err[-3000:]}") from None
    if check:
        assert p.returncode == 0, f"{args} ended with {p.returncode}\n{out[-3000:]}\n{err[-3000:]}"
    p.out, p.err = out, err
    return p


# ---- a skip is a failure in CI

SKIPPED = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for m in getattr(item, "merits", []):
            log = m.stdout.read_text(errors="replace") if m.stdout.exists() else ""
            report.sections.append(("merit", (m.errors() if m.stderr.exists() else "")[-3000:] + log[-3000:]))
        for what in getattr(getattr(item, "mock", None), "troubles", []):
            report.sections.append(("mock", what))


def pytest_runtest_logreport(report):
    if report.skipped and "hardware" not in str(report.longrepr):
        SKIPPED.append(report.nodeid)


def pytest_sessionfinish(session, exitstatus):
    # Where several processes test, the one that they report to says it.
    if os.environ.get("CI") and SKIPPED and exitstatus == 0 and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\nin CI a skipped test is a failure: {', '.join(SKIPPED)}")
        session.exitstatus = 1
