#!/usr/bin/env python3
"""Checks the transfer sets: JSON, labels, least counts, offsets, duplicates, check digits.

Prints the counts and exits 1 at any finding. Needs nothing but Python 3.
"""
import collections
import json
import pathlib
import re
import sys
import unicodedata

LEAST = {
    "domain": dict.fromkeys((
        "biology", "business", "chemistry", "computer science", "economics", "engineering",
        "health", "history", "law", "math", "other", "philosophy", "physics", "psychology"), 55),
    "factcheck": dict.fromkeys(("needs_fact_check", "no_fact_check"), 55),
    "feedback": dict.fromkeys(
        ("satisfied", "need_clarification", "wrong_answer", "want_different"), 55),
    "difficulty": dict.fromkeys(("easy", "hard"), 55),
    "reasoning": dict.fromkeys(("needs_reasoning", "direct"), 55),
    "output": dict.fromkeys(("prose", "code", "list", "table", "json", "translation",
                             "short_answer", "summary"), 55),
    "modality": dict.fromkeys(("text", "image", "both"), 55),
    "length": dict.fromkeys(("short", "medium", "long"), 55),
    "attack": {
        "attack/role_play": 55, "attack/instruction_override": 55, "attack/encodings": 55,
        "attack/other_languages": 55, "attack/injected_documents": 55, "attack/many_shot": 55,
        "benign/trigger_words": 150, "benign/ordinary": 100},
    "pii": {"CARD": 55, "IBAN": 55, "SSN": 55, "EMAIL": 55, "IP": 55, "URL": 55, "KEY": 55,
            "PHONE": 30, "none": 200},
    "names": {"PERSON": 50, "ADDR": 25, "any": 60, "none": 40},
}


def luhn(digits):
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban(text):
    text = text.replace(" ", "").upper()
    turned = text[4:] + text[:4]
    return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def ssn(text):
    area, group, serial = re.fullmatch(r"(\d{3})[- ]?(\d\d)[- ]?(\d{4})", text).groups()
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


DIGITS = {"CARD": lambda text: luhn(re.sub(r"\D", "", text)), "IBAN": iban, "SSN": ssn}


def normal(text):
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def keys_of(row):
    if "spans" not in row:
        return [f"{row['label']}/{row['family']}" if "family" in row else row["label"]]
    return [*sorted({span["type"] for span in row["spans"]}), "any"] if row["spans"] else ["none"]


def span_faults(row):
    end = 0
    for span in row["spans"]:
        text = row["text"][span["start"]:span["end"]]
        if not end <= span["start"] < span["end"] <= len(row["text"]) or text != text.strip():
            yield f"bad span {span}"
        elif not DIGITS.get(span["type"], lambda _: True)(text):
            yield f"bad check digits {text}"
        end = span["end"]


def main():
    faults = []
    for name, least in LEAST.items():
        seen, counts = set(), collections.Counter()
        path = pathlib.Path(__file__).parent / f"{name}.jsonl"
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1], 1):
            row = json.loads(line)
            found = list(span_faults(row)) if "spans" in row else []
            if not row["text"].strip():
                found.append("empty")
            if normal(row["text"]) in seen:
                found.append("duplicate")
            seen.add(normal(row["text"]))
            counts.update(keys_of(row))
            faults += [f"{name}:{number}: {fault}: {row['text'][:60]}" for fault in found]
        faults += [f"{name}: {key}: {counts[key]} < {want}"
                   for key, want in least.items() if counts[key] < want]
        faults += [f"{name}: unknown label {key}" for key in counts
                   if key not in least and key != "any"]
        print(name, len(seen), dict(sorted(counts.items())))
    print("\n".join(faults) or "ok")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
