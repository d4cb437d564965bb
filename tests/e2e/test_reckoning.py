"""What a served policy reckons with besides itself: a meter whose joules are shared out without a rest, carbon by the hour from a file
that changes, and how estimates turned out."""
import os
import re
import time

from conftest import until


def policy(url, folder):
    return (f'policy "reckoned" version 1\n'
            f'zone here  pue 1.5  carbon "{folder}/grid.csv" 100 g/kWh marginal\n'
            f'model small  zone here  endpoint "{url}" engine vllm meter rapl 0  context 32k tok  output 2k tok  timeout 60 s '
            f'energy h100 8b  price 1 in, 2 out usd/Mtok since 2026-11-21\n'
            f'model gone   zone here  endpoint "http://127.0.0.1:9/v1" engine vllm meter nvml 3  context 32k tok  output 2k tok  '
            f'timeout 60 s  energy h100 8b  price 9 in, 9 out usd/Mtok since 2026-11-21\n'
            f'otherwise -> answer(small, gone)\n')


def put(path, text):
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


def counter(folder, uj):
    with open(folder / "energy_uj", "r+") as f:  # in place: the meter holds the file open, as the kernel's stays the same
        f.write(f"{uj:<12}".rstrip() + "\n")
        f.truncate()


def test_reckoning(start, mock, scratch):
    package = scratch / "powercap" / "intel-rapl:0"
    package.mkdir(parents=True)
    (package / "energy_uj").write_text("1000\n")
    (package / "max_energy_range_uj").write_text("999999999999\n")
    put(scratch / "grid.csv", f"hour,g_kwh\n{time.strftime('%Y-%m-%dT%H:00Z', time.gmtime())},312.5\n")
    m = start(policy(mock.url, scratch), "--meter-powercap", str(scratch / "powercap"),
              "--meter-nvml", str(scratch / "no-such-library.so"))

    def meter(name, part=""):
        return float(m.metric(rf'merit_meter_{name}\{{meter="rapl 0"{part}\}}'))

    assert until(lambda: meter("up") == 1)
    # A meter that is not there has a name and a reason.
    assert float(m.metric(r'merit_meter_up\{meter="nvml 3"\}')) == 0
    assert until(lambda: re.search(r"meter nvml 3: no NVIDIA driver: .*no-such-library", m.errors()))
    total = 0
    for i in range(12):
        total += 7_000_000
        counter(package, 1000 + total)
        code, headers, _ = m.chat(f"Say hello, number {i}.")
        assert code == 200 and headers["x-merit-model"] == "small"

    def parts():
        return [meter("joules_total", f',part="{p}"') for p in ("requests", "others", "unused")] + [meter("pending_joules")]

    assert until(lambda: abs(sum(parts()) - total / 1e6) < 1e-6), parts()
    assert parts()[1] == 0
    # Carbon: the file's hour, and the policy's figure where the file is broken and old.
    assert m.metric(r'merit_carbon_g_per_kwh\{zone="here",from="hour"\}') == 312.5
    put(scratch / "grid.csv", "<html>gone</html>\n")
    assert until(lambda: m.metric(r'merit_carbon_file_up\{zone="here"\}') == 0, seconds=15)
    assert "grid.csv: line 1: the file begins with" in m.errors()
    # Estimates beside settlements.
    assert until(lambda: 'merit_estimate_ratio{model="small",unit="token"}' in m.metrics(), seconds=20)
    assert float(m.metric(r'merit_estimate_ratio\{model="small",unit="usd"\}')) > 0
    assert m.metric(r'merit_estimate_alarm\{model="small",unit="usd"\}') == 0
