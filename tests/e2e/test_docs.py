"""What the documents show is so: policies in them compile, and every output is what the command prints.

In a document,

    ```merit file=NAME    is a policy file of that name
    ```merit add=NAME     are lines added to it, before its first route
    ```merit append=NAME  are lines added at its end
    ```console            are commands behind `$ ` and what they print, run in a folder with these files

from the top of the document to its end. Times differ from run to run: two outputs are alike when they are alike but for
times. MERIT_GOLDEN=write writes outputs that are not as shown. No encoder is at hand, so that every machine says the same.
"""
import os
import re
import subprocess

import pytest

from conftest import MERIT, PATIENCE, ROOT

DOCUMENTS = ["docs/policy.md", "docs/price.md", "docs/energy.md", "docs/from-vllm-sr.md", "README.md"]
BLOCK = re.compile(r"^(`{3,})(merit|console)([^\n]*)\n(.*?)^\1$", re.M | re.S)
TIME = re.compile(r"\b\d+(\.\d+)? (ns|us|ms|s)\b")


def shell(command, folder):
    env = {"PATH": f"{MERIT.parent}:/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8", "NO_COLOR": "1",
           "MERIT_MODELS": str(folder / "none"), "XDG_CACHE_HOME": str(folder / "cache"),
           **{n: v for n, v in os.environ.items() if n.endswith("SAN_OPTIONS")}}
    done = subprocess.run(["bash", "-c", command + " 2>&1"], cwd=folder, env=env, stdout=subprocess.PIPE, text=True,
                          timeout=PATIENCE)
    return done.stdout


def without_times(text):
    return re.sub(r" +", " ", TIME.sub("TIME", text))


def play(name, folder):
    """The document as it should be, or the text that is not so."""
    text = (ROOT / name).read_text()
    out, at = [], 0
    for block in BLOCK.finditer(text):
        out.append(text[at:block.start(4)])
        at = block.end(4)
        body, attribute = block[4], block[3].strip()
        if attribute.startswith("file="):
            (folder / attribute[5:]).write_text(body)
        elif attribute.startswith("add="):
            path = folder / attribute[4:]
            old = path.read_text()
            where = re.search(r"^(route|otherwise)\b", old, re.M).start()
            path.write_text(old[:where] + body + "\n" + old[where:])
        elif attribute.startswith("append="):
            with open(folder / attribute[7:], "a") as f:
                f.write("\n" + body)
        elif block[2] == "console":
            # A command goes on in the next line behind a backslash.
            parts = re.split(r"^\$ ((?:[^\n]*\\\n)*[^\n]*)\n", body, flags=re.M)
            body = parts[0]
            for command, shown in zip(parts[1::2], parts[2::2]):
                said = shell(command, folder).strip("\n")
                said = said + "\n" if said else ""
                if without_times(said).strip() == without_times(shown).strip():
                    said = shown
                elif shown.endswith("\n\n"):
                    said += "\n"
                body += f"$ {command}\n{said}"
        out.append(body)
    return text, "".join(out) + text[at:]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_outputs_are_as_shown(name, tmp_path):
    text, now = play(name, tmp_path)
    if os.environ.get("MERIT_GOLDEN") == "write" and now != text:
        (ROOT / name).write_text(now)
    else:
        assert now == text
    assert not re.search(r"^(/bin/)?bash: ", now, re.M)
    # At the end of the document its policies are as they should be.
    for path in {tmp_path / f for f in re.findall(r"^```merit file=(\S+)", text, re.M)}:
        done = subprocess.run([MERIT, "policy", "check", "--quiet", path], capture_output=True, text=True, timeout=PATIENCE,
                              env={**os.environ, "MERIT_MODELS": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)})
        assert done.returncode == 0, done.stderr
