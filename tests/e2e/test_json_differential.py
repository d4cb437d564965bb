"""Merit's JSON reader and writer beside Python's: the same documents are accepted, with the same values.

Python is laxer in four things, which are made up for here: NaN and Infinity, lone surrogates, nesting beyond 64, and
numbers beyond the doubles (infinite there, out of range here). Runs under pytest, or by itself:
python3 tests/e2e/test_json_differential.py [PROGRAM]
"""
import decimal
import json
import os
import pathlib
import random
import struct
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MERIT = pathlib.Path(os.environ.get("MERIT_BIN", ROOT / "build" / "dev" / "merit")).resolve()
ECHO = MERIT.parent / "tests" / "text_json_echo"
DEPTH_MAX = 64

decimal.getcontext().prec = 2000
decimal.getcontext().Emax = decimal.MAX_EMAX
decimal.getcontext().Emin = decimal.MIN_EMIN

NASTY = [
    b"", b" ", b"\n", b"{}", b"[]", b"{ }", b"[ ]", b"null", b"true", b"false", b"nul", b"nulL", b"truee", b"tru", b"[tru]",
    b"falsefalse", b"True", b"None", b"NaN", b"-NaN", b"Infinity", b"-Infinity", b"[NaN]", b"[-Infinity]", b"[nan]", b"[+1]",
    b"0", b"-0", b"00", b"-00", b"01", b"-01", b"1.", b".1", b"-.1", b"1.e1", b"1e", b"1e+", b"1e-", b"1e1.5", b"1E+2", b"1eE2",
    b"0e", b"0e0", b"0E+00", b"-0e-0", b"0.0", b"0.", b"1.0", b"--1", b"-", b"+", b"1+1", b"1 1", b"1,", b"0x1F", b"1_000",
    b"1e400", b"-1e400", b"1e-400", b"1e308", b"1.7976931348623157e308", b"1.7976931348623159e308", b"4.9e-324", b"2.4e-324",
    b"2.5e-324", b"9007199254740993", b"9007199254740992.5", b"123456789012345678901234567890", b"0.1", b"1e22", b"1e23",
    b"18446744073709551615", b"18446744073709551616", b"1e19", b"1e20", b"100.0", b"1.5e1", b"1.5e0", b"10e-1", b"1e99999999999",
    b"1e-99999999999", b"0e99999999999", b"-1", b"-1.0e2", b"1" * 400, b"0." + b"0" * 400 + b"1e401", b"1" + b"0" * 400 + b"e-400",
    b"[1e1,1E1,1e+1,1e-1,-0.0]", b"\xd9\xa1", b"[1\xc2\xa0]", b"\xef\xbc\x91",
    b"[", b"]", b"{", b"}", b"[]]", b"[[]", b"{}}", b"{{}}", b"[}", b"{]", b"[,]", b"[1,]", b"[,1]", b"[1,,2]", b"[1 2]", b"[1;2]",
    b"{,}", b'{"a"}', b'{"a":}', b'{"a":1,}', b'{,"a":1}', b'{"a":1,,"b":2}', b'{"a" 1}', b'{"a"::1}', b'{"a":1 "b":2}',
    b'{"a":1;"b":2}', b"{1:1}", b"{a:1}", b"{'a':1}", b"{null:1}", b'{"a":1}{"b":2}', b'{"a":1},', b'[1]x', b'[1]\x00', b"[1]\x0c",
    b'{"a":1,"a":2}', b'{"":{"":[""]}}', b'{"a":/* c */1}', b'// c\n1', b"#\n1", b'[1]//', b"[\x0b1]", b"[\x0c1]", b"[\xe2\x80\xa8]",
    b'"', b'""', b'"a', b"'a'", b'"\\"', b'"\\', b'"\\\\"', b'"\\\\\\"', b'"\\a"', b'"\\0"', b'"\\x41"', b'"\\\'"', b'"\\/"',
    b'"\\b\\f\\n\\r\\t\\"\\\\\\/"', b'"\\u0000"', b'"\\u0041"', b'"\\U0041"', b'"\\u00"', b'"\\u004"', b'"\\u004g"', b'"\\u+041"',
    b'"\\u 041"', b'"\\u-041"', b'"\\u0_41"', b'"\\u{41}"', b'"\\uD800"', b'"\\uDC00"', b'"\\uD800\\u0041"', b'"\\uD800\\uD800"',
    b'"\\uD83D\\uDE00"', b'"\\ud83d\\ude00"', b'"\\uDE00\\uD83D"', b'"\\uD83D\\uDE0"', b'"\\uD83D\\\\uDE00"', b'"\\uD83D\\n"',
    b'"\\uDBFF\\uDFFF"', b'"\\uFFFF\\uFFFE"', b'"\\uE000"', b'"\\uD7FF"', b'"\x00"', b'"\n"', b'"\t"', b'"\x1f"', b'"\x7f"', b'"\x20"',
    b'"\\\n"', b'"a\x00b"', b'\x00', b'\x00"a"', b'"\xc2\x80"', b'"\x80"', b'"\xc0\x80"', b'"\xc1\xbf"', b'"\xc2"', b'"\xe0\x80\x80"',
    b'"\xe0\xa0\x80"', b'"\xed\x9f\xbf"', b'"\xed\xa0\x80"', b'"\xed\xbf\xbf"', b'"\xee\x80\x80"', b'"\xef\xbf\xbf"', b'"\xf0\x80\x80\x80"',
    b'"\xf0\x90\x80\x80"', b'"\xf4\x8f\xbf\xbf"', b'"\xf4\x90\x80\x80"', b'"\xf5\x80\x80\x80"', b'"\xff"', b'"\xfe\xff"', b'"\xe2\x82"',
    b'"\xe2\x82\xac\xe2"', b'\xef\xbb\xbf{}', b'\xef\xbb\xbf', b'{}\xef\xbb\xbf', b'"\xef\xbb\xbf"', b'\xfe\xff\x00{\x00}', b'{\x00}\x00',
    b"[" * 64 + b"]" * 64, b"[" * 65 + b"]" * 65, b'{"a":' * 64 + b"1" + b"}" * 64, b'{"a":' * 65 + b"1" + b"}" * 65, b"[" * 500,
    b"[" * 63 + b"1" + b"]" * 63, b'[' + b'{"a":[' * 31 + b"]}" * 31 + b"]", b"[" + b"1," * 3000 + b"1]", b'"' + b"a" * 5000 + b'"',
    b'"' + b"\\n" * 3000 + b'"', b'"' + b"\\u00e9" * 1000 + b'"', b'"' + b"\xe4\xb8\xad" * 1000 + b'"', b" " * 1000 + b"1" + b" " * 1000,
    b"\r\n\t [\r\n\t 1\r\n\t ,\r\n\t 2\r\n\t ]\r\n\t ", b'{"a":"b"' + b" " * 100 + b"}", b'["' + b"x" * 31 + b'","' + b"y" * 32 + b'"]',
]


class Number(str):
    """The text of a number."""


def refuse(word):
    raise ValueError(word)


def depth_of(v):
    return 1 + max(map(depth_of, v[1]), default=0) if isinstance(v, tuple) else 0


def read(text):
    """Nested (type, values) for containers, str, Number, or a constant; ValueError when it is not JSON."""
    decoder = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=refuse,
                               object_pairs_hook=lambda pairs: ("{", [x for p in pairs for x in p]))
    decoded = text.decode("utf-8")
    if decoded.startswith("\ufeff"):
        raise ValueError("byte order mark")
    try:
        value = decoder.decode(decoded)
    except RecursionError as e:
        raise ValueError("deep") from e

    def lists(v):
        if isinstance(v, list):
            return ("[", [lists(x) for x in v])
        if isinstance(v, tuple):
            return ("{", [lists(x) for x in v[1]])
        if isinstance(v, str):
            v.encode("utf-8")  # UnicodeEncodeError, a ValueError, for a lone surrogate
        return v
    value = lists(value)
    if depth_of(value) > DEPTH_MAX:
        raise ValueError("deep")
    return value


def account(v):
    """What the other program says of this value, and the value as its writer would leave it."""
    if isinstance(v, Number):
        d = float(v)
        exact = decimal.Decimal(v)
        if abs(exact.adjusted()) > 1000 and exact != 0:
            whole = "range"
        else:
            whole = str(int(exact)) if exact == exact.to_integral_value() and 0 <= exact < 2**64 else "range"
        if d in (float("inf"), float("-inf")):
            return f"n{v}|range|{whole}", 0.0
        return f"n{v}|{struct.pack('>d', d).hex()}|{whole}", d
    if isinstance(v, str):
        return "s" + v.encode().hex(), v
    if isinstance(v, tuple):
        parts = [account(x) for x in v[1]]
        if v[0] == "[":
            return "[" + "".join(p[0] + "," for p in parts) + "]", [p[1] for p in parts]
        names = [f"{k[0]}:{x[0]}," for k, x in zip(parts[::2], parts[1::2])]
        return "{" + "".join(names) + "}", {k[1]: x[1] for k, x in zip(parts[::2], parts[1::2])}
    return {None: "null", True: "true", False: "false"}[v], v


def random_text(r):
    parts = ["a", "model", " ", "\n", '"', "\\", "é", "中", "😀", "\x00", "\x1f", "\x7f", "\u2028", "\ud7ff", "\uffff",
             "a longer run of plain text that fills more than one block"]
    return "".join(r.choice(parts) for _ in range(r.randrange(8)))


def random_number(r):
    return r.choice([
        lambda: r.randrange(-1000, 1000), lambda: r.randrange(2**70), lambda: r.random(), lambda: r.uniform(-1e6, 1e6),
        lambda: round(r.random(), r.randrange(1, 12)), lambda: r.random() * 10.0 ** r.randrange(-320, 308),
        lambda: struct.unpack(">d", r.randbytes(7) + b"\x01")[0]])()


def random_value(r, depth=0):
    kind = r.randrange(3 if depth > 5 else 6)
    if kind == 0:
        return random_text(r)
    if kind == 1:
        v = random_number(r)
        return v if v == v and abs(v) != float("inf") else 0
    if kind == 2:
        return r.choice([None, True, False])
    if kind == 3:
        return [random_value(r, depth + 1) for _ in range(r.randrange(6))]
    return {random_text(r): random_value(r, depth + 1) for _ in range(r.randrange(6))}


def random_document(r):
    indent = r.choice([None, None, 1, 2, 9, "\t"])
    separators = r.choice([None, (",", ":"), (" ,", " :  ")])
    return json.dumps(random_value(r), ensure_ascii=r.random() < 0.5, indent=indent, separators=separators).encode()


def mutate(r, text):
    text = bytearray(text)
    alphabet = b'"\\{}[]:,0123456789.eE+-truefalsnu \n\t\x00\x01\x7f\x80\xbf\xc3\xe2\xed\xf4\xff'
    for _ in range(r.randrange(1, 4)):
        at = r.randrange(len(text) + 1)
        what = r.randrange(5)
        if what == 0:
            text[at:at + 1] = bytes([r.choice(alphabet)])
        elif what == 1:
            text[at:at + 1] = b""
        elif what == 2:
            text[at:at] = bytes([r.choice(alphabet)])
        elif what == 3:
            text[at:] = b""
        else:
            end = r.randrange(len(text) + 1)
            text[at:at] = text[min(at, end):max(at, end)][:40]
    return bytes(text)


def documents(count):
    r = random.Random(2026)
    yield from NASTY
    for text in NASTY:
        if len(text) < 50:
            yield b'{"k":[' + text + b"]}"
            yield b'"padding up to the border of a block' + text.strip(b'"') + b'"'
    for _ in range(count):
        text = random_document(r)
        yield text
        yield mutate(r, text)
        yield mutate(r, text)


def compare(program, count):
    """Runs all documents through the program; returns (accepted, rejected)."""
    texts = list(documents(count))
    sent = b"".join(struct.pack("<I", len(t)) + t for t in texts)
    done = subprocess.run([str(program)], input=sent, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    lines = done.stdout.decode().split("\n")
    assert lines.pop() == "" and len(lines) == len(texts)
    accepted = 0
    for text, line in zip(texts, lines):
        try:
            want, left = account(read(text))
        except ValueError as e:
            assert line.startswith("reject "), f"Python refuses ({e}), Merit does not: {text!r}: {line[:200]}"
            assert int(line.split()[2]) <= len(text)
            continue
        accepted += 1
        word, got, written = (line.split(" ", 2) + ["", ""])[:3]
        # Raw numbers and hex hold no space.
        assert word == "accept", f"Merit refuses: {text!r}: {line}"
        assert got == want, f"{text!r}: {got[:300]} is not {want[:300]}"
        again = json.loads(bytes.fromhex(written).decode(), parse_int=float)
        assert json.dumps(again) == json.dumps(left), f"{text!r}: written as {bytes.fromhex(written)!r}"
    return accepted, len(texts) - accepted


def test_readers_and_writers_agree():
    accepted, rejected = compare(ECHO, 1500)
    assert accepted > 1500 and rejected > 1500


if __name__ == "__main__":
    print("accepted %d, rejected %d" % compare(sys.argv[1] if len(sys.argv) > 1 else ECHO, 1500))
