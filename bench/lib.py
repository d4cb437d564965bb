"""What the benchmarks share: processes on their cores, CPU from the kernel's accounting, pairs, intervals, the line.

Everything runs on 127.0.0.1. The proxy under test has core 0 to itself; load and upstream share core 1. CPU per
request is the growth of /proc/PID/task/*/schedstat over a run, divided by the requests that were answered well.
Whoever compares two proxies runs them in turns (A B, B A, ...), takes the ratio of each pair, and states the median
with its 90 % bootstrap interval; a gate is missed when the whole interval lies on the wrong side.
BENCH_SHORT=1 makes a quick run for development, whose line says so.
"""
import contextlib
import datetime
import functools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"
SHORT = os.environ.get("BENCH_SHORT", "") not in ("", "0")
PAIRS = 3 if SHORT else int(os.environ.get("BENCH_PAIRS", "7"))
PROXY_CORE, LOAD_CORE = 0, min(1, (os.cpu_count() or 1) - 1)
# The probe's time on the machine on which the absolute targets were set (AMD EPYC, 2 vCPU, Debian 12, November 2026).
PROBE_REFERENCE_MS = 22.1


def log(text=""):
    print(text, flush=True)


def cpu_model():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def probe_ms():
    """A fixed piece of integer work (load_sse.c), best of nine: by it absolute times of two machines compare."""
    return float(subprocess.run([tool("load_sse"), "probe"], capture_output=True, text=True, check=True,
                                preexec_fn=lambda: on_core(LOAD_CORE)).stdout)


def free_port():
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port, process, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"bench: a server ended with {process.returncode}: {process.args}\n{tail(process)}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.02)
    raise SystemExit(f"bench: nothing listens on {port}: {process.args}\n{tail(process)}")


def tail(process):
    with contextlib.suppress(OSError, AttributeError):
        return "\n".join(pathlib.Path(process.log).read_text(errors="replace").splitlines()[-20:])
    return ""


class Rig:
    """A scratch folder and the servers in it; stops them by pid at the end."""

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="merit-bench-"))
        self.processes = []
        return self

    def __exit__(self, *_):
        for p in self.processes:
            stop(p)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, args, core, port=None, name="server"):
        path = self.folder / f"{name}-{len(self.processes)}.log"
        with open(path, "wb") as out:
            p = subprocess.Popen([str(a) for a in args], stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                 cwd=self.folder, preexec_fn=lambda: on_core(core))
        p.log = path
        self.processes.append(p)
        if port:
            wait_port(port, p)
        return p

    def upstream(self, *extra):
        port = free_port()
        self.start([tool("load_sse"), "serve", "--port", port, *extra], LOAD_CORE, port, "upstream")
        return port

    def nginx(self, upstream, sse=False):
        port = free_port()
        conf = self.folder / f"nginx-{port}.conf"
        conf.write_text(f"""
master_process off; daemon off; worker_processes 1; pid {conf}.pid; error_log {conf}.err crit;
worker_rlimit_nofile 40000;
events {{ worker_connections 20000; }}
http {{
  access_log off; server_tokens off; tcp_nodelay on; client_body_buffer_size 256k; client_max_body_size 64m;
  keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p; fastcgi_temp_path {self.folder}/f;
  uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 300s; }}
  server {{
    listen 127.0.0.1:{port} backlog=8192;
    location / {{
      proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering {"off" if sse else "on"};
    }}
  }}
}}
""")
        p = self.start(["nginx", "-c", conf], PROXY_CORE, port, "nginx")
        return Proxy("nginx", port, p)

    def haproxy(self, upstream):
        port = free_port()
        conf = self.folder / f"haproxy-{port}.cfg"
        conf.write_text(f"""
global
  nbthread 1
  maxconn 9000
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  option http-keep-alive
  option http-no-delay
  http-reuse always
  maxconn 9000
frontend f
  bind 127.0.0.1:{port} backlog 8192
  default_backend b
backend b
  server s 127.0.0.1:{upstream} pool-max-conn 2000
""")
        p = self.start(["haproxy", "-db", "-q", "-f", conf], PROXY_CORE, port, "haproxy")
        return Proxy("haproxy", port, p)

    def policy(self, upstream, name="reference.merit"):
        """The policy file with its endpoints at our upstream."""
        text = (ROOT / "bench" / "policies" / name).read_text()
        path = self.folder / name
        path.write_text(re.sub(r"http://127\.0\.0\.1:\d+", f"http://127.0.0.1:{upstream}", text))
        return path

    def merit(self, policy, *flags, name="merit", logs=True, cache=True, data=True, core=PROXY_CORE):
        port, admin = free_port(), free_port()
        self.made = getattr(self, "made", 0) + 1
        args = [BUILD / "merit", "serve", policy, "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}",
                "--threads", "1"]
        if logs:
            args += ["--log-access", self.folder / f"{name}-{self.made}-access.log",
                     "--log-decisions", self.folder / f"{name}-{self.made}-decisions.log"]
        if cache:
            args += ["--cache", self.folder / "cache"]
        # A folder of its own: one that another process has serves without a ledger.
        args += ["--data", self.folder / f"{name}-{self.made}-data" if data else "off"]
        p = self.start([*args, *flags], core, port, name)
        proxy = Proxy(name, port, p)
        proxy.admin = admin
        return proxy


class Proxy:
    def __init__(self, name, port, process):
        self.name, self.port, self.process = name, port, process

    def cpu_ns(self):
        total = 0
        for f in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total += int((f / "schedstat").read_text().split()[0])
        return total

    def rss_kb(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1])


class Direct:
    """The upstream itself, as a proxy that costs nothing."""

    def __init__(self, port):
        self.name, self.port = "direct", port

    def cpu_ns(self):
        return 0


def on_core(core):
    os.sched_setaffinity(0, {core})


@functools.cache
def tool(name):
    """A program or library of bench/, built when its sources changed."""
    r = subprocess.run([ROOT / "scripts" / "build", "release", name], stdout=subprocess.DEVNULL)
    if r.returncode:
        raise SystemExit(1)
    return BUILD / "bench" / name


def in_venv(name):
    """Goes on in an environment with bench/requirements-NAME.txt."""
    folder = ROOT / "build" / f"venv-{name}"
    if subprocess.run([ROOT / "scripts" / "venv", folder, ROOT / "bench" / f"requirements-{name}.txt"]).returncode:
        raise SystemExit(1)
    if pathlib.Path(sys.prefix).resolve() != folder.resolve():
        os.execv(folder / "bin" / "python", [str(folder / "bin" / "python"), *sys.argv])


def models():
    """The default pack under build/bench, fetched once with the package's own client; sets the environment to it."""
    kept = ROOT / "build" / "bench"
    os.environ["MERIT_MODELS"], os.environ["XDG_CACHE_HOME"] = str(kept / "models"), str(kept / "cache")
    r = subprocess.run([BUILD / "merit", "model", "pull", "--default"], capture_output=True, text=True)
    if r.returncode:
        raise SystemExit(f"bench: the models could not be had:\n{r.stdout}{r.stderr}")
    return kept / "models"


def stop(p):
    if p.poll() is None:
        p.send_signal(signal.SIGTERM)
        try:
            p.wait(5)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()


WRK_LUA = """
wrk.method = "POST"
wrk.path = "%(path)s"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer sk-bench"
local f = io.open("%(body)s", "rb")
wrk.body = f:read("*a")
f:close()
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("\\nDONE %%d %%d %%d %%d %%d\\n", summary.requests,
    e.connect + e.read + e.write + e.timeout, e.status, latency:percentile(50), latency:percentile(99)))
end
"""


def wrk(rig, proxy, body, connections, seconds, path="/v1/chat/completions"):
    """One run of wrk; {'requests', 'p50_us', 'p99_us', 'cpu_us'} or an exit when an answer was wrong."""
    lua = rig.folder / "load.lua"
    lua.write_text(WRK_LUA % {"path": path, "body": body})
    before = proxy.cpu_ns()
    r = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(lua),
                        f"http://127.0.0.1:{proxy.port}"], capture_output=True, text=True,
                       preexec_fn=lambda: on_core(LOAD_CORE))
    after = proxy.cpu_ns()
    m = re.search(r"^DONE (\d+) (\d+) (\d+) (\d+) (\d+)$", r.stdout, re.M)
    if not m:
        raise SystemExit(f"bench: wrk failed against {proxy.name}:\n{r.stdout}{r.stderr}")
    requests, broken, refused, p50, p99 = map(int, m.groups())
    if broken or refused or not requests:
        raise SystemExit(f"bench: {proxy.name}: {requests} answers, {broken} broken, {refused} not 2xx")
    return {"requests": requests, "rps": requests / seconds, "p50_us": p50, "p99_us": p99,
            "cpu_us": (after - before) / 1000 / requests}


def load_sse(proxy, *args):
    before = proxy.cpu_ns()
    r = subprocess.run([str(a) for a in [tool("load_sse"), "run", "--port", proxy.port, *args]], capture_output=True,
                       text=True, preexec_fn=lambda: on_core(LOAD_CORE))
    after = proxy.cpu_ns()
    try:
        result = json.loads(r.stdout)
    except ValueError:
        raise SystemExit(f"bench: load_sse failed against {proxy.name}: {r.stdout}{r.stderr}")
    result["wrong"] = sum(result[k] for k in ("lost", "merged", "reordered", "altered", "extra", "failed"))
    result["cpu_us"] = (after - before) / 1000 / max(1, result["events"])
    return result


def get(port, path, timeout=5):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout) as r:
        return r.read()


def chat_body(folder, size=1500, stream=False, model="auto"):
    """A chat request of about `size` bytes with four messages (more text in the last one when it is large)."""
    messages = [
        {"role": "system", "content": "You are a careful assistant. Answer briefly, name what you are not sure of, and "
                                      "use metric units. " * 3},
        {"role": "user", "content": "We plan to replace the gas boiler of a house from 1978. What should we look at?"},
        {"role": "assistant", "content": "First the heat demand in a cold week, then the flow temperature that the "
                                         "radiators need, then the grid connection. " * 2},
        {"role": "user", "content": ""},
    ]
    request = {"model": model, "messages": messages, "temperature": 0.2, "max_tokens": 400, "stream": stream}
    text = ("The radiators are from the same year and need 60 degrees on cold days; the walls were insulated in 2009. "
            "Compare an air source heat pump with district heating for us, with cost over fifteen years. ")
    left = size - len(json.dumps(request))
    messages[3]["content"] = (text * (left // len(text) + 1))[:max(left, 20)]
    path = pathlib.Path(folder) / f"body-{size}-{int(stream)}-{model}.json"
    path.write_text(json.dumps(request))
    return path


def interval(values):
    """Median and its 90 % bootstrap interval (percentiles of 4,000 resamples, fixed seed)."""
    rng = random.Random(1)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(4000))
    return statistics.median(values), medians[200], medians[3799]


def ratio_figure(a, b):
    """Of paired measurements a_i / b_i."""
    return interval([x / y for x, y in zip(a, b)])


class Report:
    """Collects figures with their gates, prints the table and the one line of JSON."""

    def __init__(self, name):
        self.name, self.figures, self.rows, self.passed = name, {}, [], True
        self.probe = probe_ms()
        log(f"# {name}: {cpu_model()}, {datetime.date.today()}, {PAIRS} pairs, probe {self.probe:.1f} ms"
            f" (reference {PROBE_REFERENCE_MS} ms), load of others {os.getloadavg()[0]:.1f}"
            f"{', SHORT RUN' if SHORT else ''}")

    def scaled(self, value):
        """An absolute time as the reference machine would have it, by the probes before and after."""
        return value * PROBE_REFERENCE_MS / min(self.probe, probe_ms())

    def ratio(self, name, a, b, most=None, least=None):
        mid, low, high = ratio_figure(a, b)
        self.figure(name, mid, most, least, low, high)

    def figure(self, name, value, most=None, least=None, low=None, high=None):
        good = (most is None or (value if low is None else low) <= most) and \
               (least is None or (value if high is None else high) >= least)
        self.passed &= good
        self.figures[name] = round(value, 4)
        if low is not None:
            self.figures[name + "_90"] = [round(low, 4), round(high, 4)]
        gate = f"<= {most}" if most is not None else f">= {least}" if least is not None else ""
        span = f"{low:.3f} .. {high:.3f}" if low is not None else ""
        digits = 5 if 0.99 <= abs(value) < 1 else 3  # a cosine
        self.rows.append((name, f"{value:.{digits}f}".rstrip("0").rstrip("."), span, gate,
                          "" if not gate else "ok" if good else "MISSED"))

    def finish(self):
        log()
        for row in [("figure", "value", "90 % interval", "target", "")] + self.rows:
            log(f"  {row[0]:<22} {row[1]:>10}   {row[2]:<18} {row[3]:<10} {row[4]}")
        log()
        line = {"bench": self.name, "cpu": cpu_model(), "pass": self.passed, "figures": self.figures}
        if SHORT:
            line["short"] = True
        log(json.dumps(line))
        sys.exit(0 if self.passed else 1)


def rounds(runners, pairs=None):
    """Runs each of `runners` (name -> function) once a round, in alternating order; name -> list of results."""
    out = {name: [] for name in runners}
    names = list(runners)
    for i in range(pairs or PAIRS):
        for name in names if i % 2 == 0 else reversed(names):
            out[name].append(runners[name]())
    return out


def table(results, columns):
    log("  " + f"{'':<16}" + "".join(f"{c:>14}" for c in columns))
    for name, runs in results.items():
        cells = "".join(f"{statistics.median(r[c] for r in runs):>14.1f}" if c in runs[0] else f"{'':>14}"
                        for c in columns)
        log(f"  {name:<16}{cells}")
