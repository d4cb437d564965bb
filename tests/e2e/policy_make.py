"""Random whole policies: every construct of the language, names and numbers from small ranges so that things collide."""
import random

BOOLS = ["a", "b", "c"]
WHOLES = ["n", "m"]
SHARES = ["p", "q", "r"]
LEVELS = ["public", "internal", "phi"]
TOPICS = ["law", "health", "math", "physics", "business"]
HEAD = """policy "made" version 1
lattice exposure = public < internal < phi
lattice region = anywhere < eu
"""


def signals(rng):
    out = [f'signal {x} = keywords("{x}{x}", "x{x}")' for x in BOOLS]
    out += [f"signal n = structure(questions)  on_error {rng.randrange(5)}", "signal m = conversation(turns)",
            "signal p = jailbreak", "signal q = factcheck", "signal r = reasoning",
            f"signal hot = jailbreak above 0.{rng.randrange(1, 9)}",
            f"signal cool = jailbreak below 0.{rng.randrange(1, 9)}",
            "signal topic = domain", 'signal tier = metadata("tier")', "signal groups = caller(group)",
            f'signal data = pii(email, ssn, iban)  on_error "{rng.choice(["email", "ssn"])}"']
    return out


def derived(rng):
    error = f"  on_error {rng.choice(LEVELS)}" if rng.random() < 0.5 else ""
    terms = [f"{rng.choice(LEVELS[1:])} when {guard(rng, 2)}" for _ in range(rng.randrange(1, 3))]
    if rng.random() < 0.4:
        terms.append("data")
    out = [f"signal label1 label exposure = max({', '.join(terms)}){error}"]
    if rng.random() < 0.4:
        out.append(f"signal label2 label exposure = max(internal when {guard(rng, 1)}, phi when label1 >= phi and a)")
    out.append(f"signal place label region = max(eu when {guard(rng, 1)})")
    weights = [f"{rng.choice([0.5, 0.6])} {rng.choice(['p', 'q'])}",
               f"{rng.choice([0.5, 0.3, -0.4])} when {guard(rng, 1)}"]
    out.append(f"signal risk = score({', '.join(weights)})  bands low, medium above 0.2, high above 0.4")
    members = rng.sample(SHARES, rng.choice([2, 2, 3]))
    out.append(f"signal pick = exclusive({', '.join(members)})  temperature 0.1  "
               f"margin {rng.choice([0.05, 0.2, 0.5])}  otherwise other")
    return out, members


def atom(rng, more=()):
    kind = rng.randrange(9 + 3 * bool(more))
    if kind < 3:
        return rng.choice(BOOLS + ["hot", "cool"])
    if kind == 3:
        return f"{rng.choice(WHOLES)} {rng.choice(['<', '<=', '>', '>=', '=='])} {rng.randrange(1, 4)}"
    if kind == 4:
        return f"{rng.choice(SHARES)} {rng.choice(['<', '>', '<=', '>='])} 0.{rng.randrange(1, 9)}"
    if kind == 5:
        return f"topic {rng.choice(['', 'not '])}in ({', '.join(rng.sample(TOPICS, 2))})"
    if kind == 6:
        return rng.choice(['tier == "pro"', 'tier != "free"', 'tier in ("pro", "team")', "tier"])
    if kind == 7:
        return rng.choice(['groups in ("staff")', "groups", 'groups in ("staff", "ops")'])
    if kind == 8:
        return rng.choice(['data in ("ssn")', "data", 'data in ("email", "iban")'])
    return rng.choice(more)


def guard(rng, depth, more=()):
    if depth == 0 or rng.random() < 0.3:
        return rng.choice(["", "", "not "]) + atom(rng, more)
    word = rng.choice([" and ", " or "])
    parts = [guard(rng, depth - 1, more) for _ in range(rng.choice([2, 2, 3]))]
    return "(" + word.join(parts) + ")"


def models(rng):
    out = []
    for i in range(rng.randrange(2, 5)):
        text = f'model m{i} endpoint "http://h{i}:1/v1"'
        if rng.random() < 0.4:
            text += f', "http://h{i}:2/v1"'
        if rng.random() < 0.85:
            text += f" zone {rng.choice(['local', 'cloud', 'abroad'])}"
        text += "  context 32k tok  output 2k tok  effort low, high"
        if rng.random() < 0.8:
            text += f"  price {rng.choice([1, 3, 10])} in, {rng.choice([2, 20])} out usd/Mtok"
        if rng.random() < 0.7:
            text += f"  quality 0.{rng.randrange(3, 10)}"
        if rng.random() < 0.7:
            text += f"  timeout {rng.choice([10, 60])} s"
        out.append(text)
    return out


SINKS = """sink check verifier zone local clears phi  price 0.001 usd/call  timeout 5 s
sink judge zone cloud clears internal
sink kb retriever zone local clears phi, eu holds internal adds 1k tok
sink store cache zone {zone} clears {level}
""".splitlines()


def step(rng, count):
    kind = rng.randrange(8)
    names = ", ".join(f"m{i}{rng.choice(['', '', ' high'])}" for i in sorted(rng.sample(range(count), rng.choice([1, 2]))))
    if kind < 4:
        return f"answer({rng.choice(['any', names])})" + rng.choice(["", "", " retry 1", " cap 1k tok", " hedge 1"])
    if kind == 4:
        return f"answer({names}) -> verify({rng.choice(['check', 'judge', 'm0'])})"
    if kind == 5:
        return f"retrieve(kb) -> answer({names})"
    if kind == 6:
        return f"redact({rng.choice(LEVELS[:2])}) -> answer({names})"
    return rng.choice([f"cache(store) -> answer({names})", f"fuse(m0, m1)", f"clarify(1) -> answer({names})"])


def chain(rng, count):
    text = step(rng, count)
    for _ in range(rng.choice([0, 0, 1, 2])):
        text += " else " + step(rng, count)
    if rng.random() < 0.4:
        text += ' else refuse "no"'
    return text


def constraint(rng, more, count):
    when = f" when {guard(rng, 1, more)}" if rng.random() < 0.85 else ""
    kind = rng.randrange(10)
    if kind < 3:
        text = f"forbid zone {rng.choice(['cloud', 'abroad', 'cloud, abroad', 'local'])}"
    elif kind == 3:
        text = f"forbid zone below {rng.choice(['label1', 'place'])}"
    elif kind == 4:
        text = f"forbid model m{rng.randrange(count)}"
    elif kind == 5:
        text = rng.choice(["forbid effort high", "forbid step cache", "forbid sink judge", "forbid sink store",
                           'forbid endpoint "http://h0:1/v1"'])
    elif kind == 6:
        text = rng.choice(["require verify", "require verify(check)", "require retrieve", "require redact"])
    elif kind < 9:
        text = rng.choice(["allow fuse 1", "allow hedge 1", "allow hedge 2", "allow escalate 1"])
    else:
        text = f"budget {rng.choice(['0.00001 usd/request', '0.5 usd/request', '1 calls/request', '20 s/request'])} hard"
    return text + when


def claim(rng, more, count, routes):
    kind = rng.randrange(8)
    no = rng.choice(["", "", "not "])
    if kind == 0:
        return f"never {guard(rng, 2, more)}"
    when = f" when {guard(rng, 1, more)}"
    if kind == 1:
        return f"no {rng.choice(LEVELS[1:])} reaches {rng.choice(['zone cloud', 'zone abroad', 'model m0', 'sink judge'])}"
    if kind == 2:
        return f"{no}zone {rng.choice(['local', 'cloud', 'local, cloud'])}{when}"
    if kind == 3:
        return f"{no}model m{rng.randrange(count)}{when}"
    if kind == 4:
        return f"{no}passes {rng.choice(['verify', 'retrieve', 'redact'])}{when}"
    if kind == 5:
        return f"{no}refuse{when}"
    if kind == 6:
        return f"{no}feasible{when}"
    return f"{no}route r{rng.randrange(routes)}{when}"


def make(seed, claims=True, arithmetic=True):
    """A policy's text; `arithmetic`: guards ask for scores and exclusive groups, too. Not all of them load: some guards always or never hold, which is an error."""
    rng = random.Random(seed)
    made, members = derived(rng)
    more = ["label1 >= internal", "label1 == phi", "place == eu"]
    if arithmetic:
        more += ["risk == high", "risk in (low, medium)", "pick == other"] + [f"pick == {m}" for m in members]
    many = models(rng)
    zones = ["local", "cloud", "abroad"]
    clears = [" clears phi, eu", rng.choice([" clears internal", " clears internal, eu"]),
              rng.choice(["", " clears internal"])]
    out = [HEAD] + [f"zone {z}{c}" for z, c in zip(zones, clears)]
    cache = rng.choice([("local", "internal"), ("local", "phi"), ("cloud", "public")])
    out += [s.format(zone=cache[0], level=cache[1]) for s in SINKS]
    if rng.random() < 0.3:
        out.append("sink memory zone local clears internal")
    if rng.random() < 0.2:
        out.append("sink embedding zone cloud clears internal")
    out += many + signals(rng) + made
    out += [constraint(rng, more, len(many)) for _ in range(rng.randrange(5))]
    out += [f"allow hedge 2 when {guard(rng, 1, more)}", f"allow fuse 1 when {guard(rng, 1, more)}"]
    if rng.random() < 0.3:
        out.append(f'pass "/v1/embeddings" to m{rng.randrange(len(many))}')
    routes = rng.randrange(2, 6)
    for i in range(routes):
        out.append(f"route r{i} when {guard(rng, 2, more)} -> {chain(rng, len(many))}" +
                   rng.choice([""] * 8 + [" minimise cost", " where quality >= 0.4"]))
    out.append(f"otherwise -> {chain(rng, len(many))}")
    if rng.random() < 0.3:
        out.append("alias quick -> route r0")
    if claims:
        for _ in range(rng.randrange(5)):
            out.append("prove " + claim(rng, more, len(many), routes))
        for i in range(rng.randrange(3)):
            expect = rng.choice([f"route r{rng.randrange(routes)}", "zone local", "refuse", "feasible", "passes verify"])
            out.append(f'test "t{i}" given {guard(rng, 2, more)} expect {expect}')
    return "\n".join(out) + "\n"
