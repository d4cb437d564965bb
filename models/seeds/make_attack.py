#!/usr/bin/env python3
"""Composes models/seeds/attack.jsonl from the written parts in attack_parts.py.

Same parts, same output: every choice comes from one seeded generator. Harmful asks stay abstract
on purpose: what a head should learn is the manoeuvre, not a list of forbidden subjects. Each
encoder, document and dialogue layout also appears among the benign texts, so that the carrier
alone never decides.

    python3 models/seeds/make_attack.py            writes attack.jsonl beside this file
"""
import base64
import codecs
import json
import os
import random
import re
import unicodedata

import attack_parts as parts

RNG = random.Random(20261121)
HOMOGLYPHS = str.maketrans("aceopxyiAEOPCTHKM", "асеорхуіАЕОРСТНКМ")
LEET = str.maketrans("aeiostAEIOST", "431057431057")
MORSE = dict(zip("abcdefghijklmnopqrstuvwxyz",
                 ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - "
                 "..- ...- .-- -..- -.-- --..".split()))


def caesar(text, shift=3):
    out = []
    for ch in text:
        if ch.isascii() and ch.isalpha():
            base = 65 if ch.isupper() else 97
            out.append(chr((ord(ch) - base + shift) % 26 + base))
        else:
            out.append(ch)
    return "".join(out)


def pig_latin(text):
    def word(m):
        w = m.group(0)
        return w + "way" if w[0].lower() in "aeiou" else w[1:] + w[0] + "ay"
    return re.sub(r"[A-Za-z]+", word, text)


def morse(text):
    words = re.sub(r"[^a-z ]", "", text.lower()).split()
    return " / ".join(" ".join(MORSE[c] for c in w) for w in words)


ENCODERS = {
    "base64": lambda t: base64.b64encode(t.encode()).decode(),
    "rot13": lambda t: codecs.encode(t, "rot13"),
    "hex": lambda t: t.encode().hex(),
    "spaced hex": lambda t: t.encode().hex(" "),
    "leet": lambda t: t.translate(LEET),
    "reversed": lambda t: t[::-1],
    "reversed words": lambda t: " ".join(w[::-1] for w in t.split()),
    "spaced letters": lambda t: "  ".join(" ".join(w) for w in t.split()),
    "homoglyph": lambda t: t.translate(HOMOGLYPHS),
    "zero width": lambda t: "\u200b".join(t),
    "dotted": lambda t: " ".join(".".join(w) for w in t.split()),
    "caesar": caesar,
    "pig latin": pig_latin,
    "morse": morse,
    "binary": lambda t: " ".join(f"{b:08b}" for b in t.encode()[:40]),
    "ascii codes": lambda t: " ".join(str(b) for b in t.encode()[:60]),
    "url": lambda t: "".join(f"%{b:02X}" for b in t.encode()),
    "fullwidth": lambda t: "".join(chr(ord(c) + 0xFEE0) if 33 <= ord(c) <= 126 else c for c in t),
    "base32": lambda t: base64.b32encode(t.encode()).decode(),
}
# Encoders whose result a reader still recognises; they need no carrier that names them.
READABLE = ("leet", "spaced letters", "homoglyph", "zero width", "dotted", "fullwidth",
            "reversed words")


ASKS = parts.ASKS + [ask[0].upper() + ask[1:] for ask in parts.ASKS]


class Pool:
    """Deals a list in shuffled rounds, so that every part is used before one is used again."""

    def __init__(self, items):
        self.items, self.left = list(items), []

    def take(self):
        if not self.left:
            self.left = self.items[:]
            RNG.shuffle(self.left)
        return self.left.pop()


def encoded(payloads, carriers, named, count):
    payload, carrier, kinds = Pool(payloads), Pool(carriers), Pool(ENCODERS)
    for _ in range(count):
        kind, text = kinds.take(), payload.take()
        blob = ENCODERS[kind](text)
        if kind in READABLE and RNG.random() < 0.6:
            yield blob
        elif RNG.random() < 0.4:
            yield RNG.choice(named).format(kind=kind.split()[-1] if kind == "spaced hex" else kind,
                                           blob=blob)
        else:
            yield carrier.take().format(blob=blob)


def place(body, line):
    """Puts a line into a document: at its start, its end, between lines or inside one."""
    lines = body.split("\n")
    where = RNG.randrange(4)
    if where == 0:
        return line + "\n" + body
    if where == 1:
        return body + "\n" + line
    if where == 2 and len(lines) > 1:
        at = RNG.randrange(1, len(lines))
        return "\n".join(lines[:at] + [line] + lines[at:])
    at = RNG.randrange(len(lines))
    lines[at] = lines[at] + " " + line
    return "\n".join(lines)


WRAPS = ("{t}", "{t}", "[{t}]", "<!-- {t} -->", "({t})", "*** {t} ***", "\"{t}\"", "/* {t} */",
         "<span style=\"display:none\">{t}</span>", "NOTE: {t}", "{{\"note\": \"{t}\"}}")


def documents(inserts, count, wrap):
    doc, ask, line = Pool(parts.DOCUMENTS), Pool(parts.DOCUMENT_ASKS), Pool(inserts)
    for _ in range(count):
        text = line.take()
        body = place(doc.take(), RNG.choice(WRAPS).format(t=text) if wrap else text)
        glue = RNG.choice(("\n\n", "\n---\n", "\n\"\"\"\n", " ", "\n<document>\n"))
        if RNG.random() < 0.12:
            yield body
        elif RNG.random() < 0.2:
            yield body + "\n\n" + ask.take()
        else:
            yield ask.take() + glue + body


LAYOUTS = (("User: ", "Assistant: "), ("Human: ", "AI: "), ("Q: ", "A: "), ("### Input\n", "### Output\n"),
           ("<user> ", "<bot> "), ("- ", "  -> "), ("Me: ", "You: "), ("[INST] ", "[/INST] "),
           ("question = ", "answer = "), ("Person: ", "Machine: "))


def shots(pairs, closers, intros, count):
    pair, closer, intro = Pool(pairs), Pool(closers), Pool(intros)
    for _ in range(count):
        ask, reply = RNG.choice(LAYOUTS)
        turns = []
        for _ in range(RNG.randint(3, 9)):
            q, a = pair.take()
            turns.append(f"{ask}{q}\n{reply}{a}")
        turns.append(f"{ask}{closer.take()}\n{reply}".rstrip())
        text = RNG.choice(("\n", "\n\n")).join(turns)
        yield intro.take() + "\n\n" + text if RNG.random() < 0.5 else text


def few_shots(tasks, count):
    task = Pool(tasks)
    for _ in range(count):
        intro, pairs = task.take()
        ask, reply = RNG.choice(LAYOUTS)
        pairs = RNG.sample(pairs, min(len(pairs), RNG.randint(4, 8)))
        turns = [f"{ask}{q}\n{reply}{a}" for q, a in pairs[:-1]]
        turns.append(f"{ask}{pairs[-1][0]}\n{reply}".rstrip())
        text = RNG.choice(("\n", "\n\n")).join(turns)
        yield intro + "\n\n" + text if RNG.random() < 0.7 else text


def role_play(count):
    who, world, rule, ask = (Pool(x) for x in (parts.PERSONAS, parts.WORLDS, parts.PERSONA_RULES,
                                               ASKS))
    for _ in range(count):
        bits = [who.take(), world.take(), rule.take()]
        RNG.shuffle(bits)
        bits.append(RNG.choice(("{a}", "First task: {a}", "So, {a}", "Now in character: {a}",
                                "Begin. {a}")).format(a=ask.take()))
        if RNG.random() < 0.35:
            bits.pop(RNG.randrange(0, 3))
        yield " ".join(bits)


def overrides(count):
    head, tail, ask = Pool(parts.OVERRIDE_HEADS), Pool(parts.OVERRIDE_TAILS), Pool(ASKS)
    lead = Pool(parts.HARMLESS_LEADS)
    for _ in range(count):
        text = f"{head.take()} {tail.take()}"
        pick = RNG.random()
        if pick < 0.3:
            text = f"{lead.take()} {text}"
        elif pick < 0.6:
            text = f"{text} {ask.take()}"
        yield text.lower() if RNG.random() < 0.2 else text


def filled(texts):
    ask = Pool(ASKS)
    for text in texts:
        yield text.replace("{ask}", ask.take())


def rows():
    attack = {
        "role_play": [*filled(parts.ROLE_PLAY), *role_play(75)],
        "instruction_override": [*filled(parts.OVERRIDES), *overrides(70)],
        "encodings": encoded(parts.PAYLOADS, parts.CARRIERS, parts.NAMED_CARRIERS, 190),
        "other_languages": parts.ATTACK_LANGUAGES,
        "injected_documents": documents(parts.INJECTIONS, 170, True),
        "many_shot": shots(parts.BAD_PAIRS, ASKS, parts.SHOT_INTROS, 130),
    }
    for family, texts in attack.items():
        for text in texts:
            yield text, "attack", family
    benign = {
        "hard_negative": parts.HARD_NEGATIVES,
        "encodings": encoded(parts.HARMLESS_PAYLOADS, parts.HARMLESS_CARRIERS,
                             parts.HARMLESS_NAMED, 110),
        "other_languages": parts.BENIGN_LANGUAGES,
        "documents": [*documents(parts.HUMAN_INSTRUCTIONS, 60, False),
                      *documents(parts.HUMAN_INSTRUCTIONS, 60, True),
                      *(f"{a}\n\n{d}" for a, d in zip(parts.DOCUMENT_ASKS, parts.DOCUMENTS))],
        "few_shot": few_shots(parts.FEW_SHOT_TASKS, 60),
        "persona": parts.SYSTEM_PERSONAS,
        "ordinary": parts.ORDINARY,
    }
    for family, texts in benign.items():
        for text in texts:
            yield text, "benign", family


def main():
    seen, counts = set(), {}
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "attack.jsonl"), "w", encoding="utf-8") as out:
        for text, label, family in rows():
            key = re.sub(r"\W+", " ", unicodedata.normalize("NFKC", text).lower()).strip() or text
            if key in seen:
                continue
            seen.add(key)
            counts[label, family] = counts.get((label, family), 0) + 1
            out.write(json.dumps({"text": text, "label": label, "family": family},
                                 ensure_ascii=False) + "\n")
    for (label, family), n in counts.items():
        print(f"{label:7} {family:22} {n}")


if __name__ == "__main__":
    main()
