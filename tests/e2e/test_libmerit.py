"""libmerit as an outsider uses it: tests/e2e/libmerit.sh against the build under test."""
import subprocess

import pytest
from conftest import MERIT, PATIENCE, PRESET, ROOT


def test_an_outsider_builds_against_it():
    if PRESET == "tsan":
        pytest.skip("the libraries are not built for the thread sanitizer's runtime")
    flags = ["-fsanitize=address,undefined"] if PRESET == "asan" else []
    done = subprocess.run([ROOT / "tests/e2e/libmerit.sh", MERIT.parent, *flags], cwd=ROOT, capture_output=True,
                          text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "libmerit: ok" in done.stdout
