"""What a served policy reckons with besides itself: a meter whose joules are shared out without a rest, carbon by the hour from a file
that changes, and how estimates turned out."""
import json
import os
import re
import threading
import time

import pytest

import mock_upstream as up
from conftest import until

PUE = 1.5


def policy(url, folder):
    return (f'policy "reckoned" version 1\n'
            f'zone here  pue {PUE}  carbon "{folder}/grid.csv" 100 g/kWh marginal\n'
            f'model small  zone here  endpoint "{url}" meter rapl 0  context 32k tok  output 2k tok  timeout 60 s '
            f'energy h100 8b  price 1 in, 2 out usd/Mtok since 2026-11-21\n'
            f'model gone   zone here  endpoint "http://127.0.0.1:9/v1" meter nvml 3  context 32k tok  output 2k tok  '
            f'timeout 60 s  energy h100 8b  price 9 in, 9 out usd/Mtok since 2026-11-21\n'
            f'otherwise -> answer(small, gone)\n')


def put(path, text):
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


class Counter:
    """A CPU package that takes 70 W or so, in the place of the kernel's."""

    def __init__(self, folder):
        self.folder = folder / "intel-rapl:0"
        self.folder.mkdir(parents=True)
        (self.folder / "max_energy_range_uj").write_text("999999999999\n")
        (self.folder / "energy_uj").write_text("1000\n")
        self.total, self.stop = 0, threading.Event()
        self.file = open(self.folder / "energy_uj", "r+")  # in place, as the kernel's file stays the same

    def add(self, uj):
        self.total += uj
        self.file.seek(0)
        self.file.write(f"{1000 + self.total}\n")
        self.file.flush()

    def run(self):
        while not self.stop.wait(0.05):
            self.add(3_500_000)


@pytest.fixture
def reckoned(start, mock, scratch):
    mock.default = up.chat(text="one two three four five six seven eight nine ten", delay=0.08)
    counter = Counter(scratch / "powercap")
    put(scratch / "grid.csv", f"hour,g_kwh\n{time.strftime('%Y-%m-%dT%H:00Z', time.gmtime())},312.5\n")
    m = start(policy(mock.url, scratch), "--meter-powercap", str(scratch / "powercap"),
              "--meter-nvml", str(scratch / "no-such-library.so"))
    assert until(lambda: m.metric(r'merit_meter_up\{meter="rapl 0"\}') == 1)
    return m, counter


def ask_eight(m, counter, k):
    """Streams and whole answers, side by side, while the counter runs."""
    runner = threading.Thread(target=counter.run)
    counter.stop.clear()
    runner.start()
    seen = []

    def ask(i):
        for n in range(2):
            seen.append(m.chat(f"Count to ten, {k} {i} {n}.", stream=i % 2 == 0)[0])

    askers = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for t in askers:
        t.start()
    for t in askers:
        t.join()
    counter.stop.set()
    runner.join()
    assert seen == [200] * 8


def test_meter(reckoned, scratch):
    m, counter = reckoned

    def part(name):
        return m.metric(rf'merit_meter_joules_total\{{meter="rapl 0",part="{name}"\}}')

    def logged():
        return [json.loads(line) for line in m.stdout.read_text().splitlines() if '"energy_uj"' in line]

    pending = r'merit_meter_pending_joules\{meter="rapl 0"\}'
    for k in range(5):
        before, total = part("requests"), counter.total
        ask_eight(m, counter, k)
        until(lambda: abs(sum(map(part, ("requests", "others", "unused"))) + m.metric(pending) - counter.total / 1e6) < 1e-6)
        until(lambda: len(logged()) == 8 * (k + 1))
        rows = logged()[8 * k:]
        # Answers in one piece come too fast for a meter, but for a machine that is busy with something else.
        if all(r["us"] < 150_000 for r in rows if not r.get("stream")):
            break
    told = part("requests") - before
    assert told > 0.5 * (counter.total - total) / 1e6 and part("others") == m.metric(pending) == 0
    # What was shared out stands in the log, with the PUE and Merit's own part.
    metered = [r for r in rows if r.get("stream")]
    assert len(rows) == 8 and len(metered) == 4
    shares = sum(r["energy_uj"] for r in metered)
    assert told * 1e6 * PUE - 4 <= shares < told * 1e6 * PUE + len(metered) * 100_000


def test_carbon_and_ratio(reckoned, scratch):
    m, _ = reckoned
    # A meter that is not there has a name and a reason.
    assert m.metric(r'merit_meter_up\{meter="nvml 3"\}') == 0
    assert until(lambda: re.search(r"meter nvml 3: no NVIDIA driver: .*no-such-library", m.errors()))
    assert m.metric(r'merit_carbon_g_per_kwh\{zone="here",from="hour"\}') == 312.5
    for i in range(3):
        assert m.chat(f"Say hello, {i}.")[0] == 200
    put(scratch / "grid.csv", "<html>gone</html>\n")
    assert until(lambda: m.metric(r'merit_carbon_file_up\{zone="here"\}') == 0, seconds=15)
    assert "grid.csv: line 1: the file begins with" in m.errors()
    assert until(lambda: 'merit_estimate_ratio{model="small",unit="token"}' in m.metrics(), seconds=20)
    assert m.metric(r'merit_estimate_ratio\{model="small",unit="usd"\}') > 0
    assert 'merit_estimate_alarm{model="small",unit="usd"} 0' in m.metrics()


def test_others_on_the_machine_bear_their_share(start, mock, scratch):
    """Three of somebody else's run beside one of Merit's: most of the joules are theirs."""
    page = b"vllm:num_requests_running 4\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0.1\n"
    chat = up.chat(text=" ".join(["word"] * 30), delay=0.1)

    def behave(conn, r):
        if r.target == "/metrics":
            up.answer(conn, page, headers={"Content-Type": "text/plain"})
            return True
        return chat(conn, r)

    mock.default = behave
    counter = Counter(scratch / "powercap")
    put(scratch / "grid.csv", f"hour,g_kwh\n{time.strftime('%Y-%m-%dT%H:00Z', time.gmtime())},312.5\n")
    m = start(policy(mock.url, scratch).replace("meter rapl 0", "engine vllm meter rapl 0"),
              "--meter-powercap", str(scratch / "powercap"), "--pool-scrape", "100ms")
    assert until(lambda: m.metric(r'merit_meter_up\{meter="rapl 0"\}') == 1)
    until(lambda: b'"running":4' in m.admin("/merit/v1/pool")[2])
    runner = threading.Thread(target=counter.run)
    runner.start()
    assert m.chat("Say thirty words.", stream=True)[0] == 200
    counter.stop.set()
    runner.join()
    parts = {name: m.metric(rf'merit_meter_joules_total\{{meter="rapl 0",part="{name}"\}}') for name in ("requests", "others")}
    assert 2 < parts["others"] / parts["requests"] < 5, parts
