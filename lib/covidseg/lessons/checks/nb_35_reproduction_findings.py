"""Checks for 35_reproduction_findings: what a table implies, its unit, and whose value is the best."""

from itertools import product

from covidseg.lessons.answers import MISSING, names, near, number, numbers

UNITS = (1e6, 1.024e6, 2**20)


def _bounds(answer) -> str:
    low, high = numbers(answer, 2)
    if abs(low - 0.7) < 1e-6:
        return (
            "The smaller of the two means is no lower end: cases with high sensitivity may be those of low precision."
        )
    if abs(high - 0.8) < 1e-3:
        return (
            "The arithmetic mean is an upper end, not the least: the harmonic mean is concave, and Jensen gives less."
        )
    if not abs(low - 0.6) < 1e-6:
        return f"The lower end is not {low:g}: of each case min(S, P) is at least S + P - 1, which is linear."
    if not near(high, 0.7875):
        return f"The upper end is not {high:g}: it is the harmonic mean of both means, to three digits or more."
    return ""


def _unit(answer) -> str:
    counts = (15_904_066, 12_795_394, 47_433_411, 2_313_972)
    for unit, digits in product(UNITS, (1, 2, 3)):
        pairs = [(count, f"{count / unit:.{digits}f}") for count in counts]
        fits = [u for u in UNITS if all(f"{count / u:.{digits}f}" == text for count, text in pairs)]
        given = answer(list(pairs))
        if given is None or number(given) not in fits:
            return f"For {pairs[0]} and three more it answers {given}; {unit:g} is right."
    mixed = [(counts[0], f"{counts[0] / 1e6:.2f}"), (counts[2], f"{counts[2] / 2**20:.2f}")]
    if answer(list(mixed)) is not None:
        return f"No one unit fits {mixed}: the answer is None, and you give {answer(list(mixed))}."
    return ""


def _best(answer) -> str:
    rows = [
        {"method": "A", "dsc": 70.0, "hd": 9.0, "p9_hd": 12.0, "miou": 80.0},
        {"method": "B", "dsc": 71.0, "hd": 8.0, "p9_hd": 12.0, "miou": 79.0},
        {"method": "C", "dsc": 71.0, "hd": 11.0, "p9_hd": 15.0, "miou": 78.0},
    ]
    for name, expected in (("A", ["miou"]), ("B", ["hd"]), ("C", [])):
        given = answer([dict(row) for row in rows], name)
        given = names(given) - {"method"}
        if "dsc" in given:
            return "B and C share the largest dsc: a tie is nobody's best."
        if sorted(given) != expected:
            return f"For {name} of a small table you name {given}; the best of its own are {expected}."
    return ""


COPIES = {
    "A": ["71.2", "88.40", "12.31", "80.00"],
    "B": ["69.0", "88.40", "12.31", "79.12"],  # two neighbours of A: by chance, perhaps
    "C": ["69.1", "91.11", "44.44", "60.20"],
    "D": ["70.3", "91.11", "44.44", "60.20"],  # three neighbours of C
    "E": ["71.2", "91.11", "12.31", "61.00"],  # equal to others, but no three in a row
    "F": ["99.0", "44.44", "60.20", "91.11"],  # C's numbers in other columns
}


def _copied(answer) -> str:
    for rows, wanted in ((COPIES, {("C", "D")}), ({n: COPIES[n] for n in "ABEF"}, set())):
        given = answer({name: list(cells) for name, cells in rows.items()})
        if given is None:
            return MISSING
        if not isinstance(given, set | list | tuple | frozenset) or not all(_is_pair(pair) for pair in given):
            return "Return a set or a list of pairs of names, such as {('C', 'D')}."
        found = {tuple(sorted(pair)) for pair in given}
        if found == wanted:
            continue
        if lone := sorted(pair for pair in found if pair[0] == pair[1]):
            return f"{lone[0][0]!r} is compared with itself."
        if extra := sorted(found - wanted):
            return f"{extra[0][0]} and {extra[0][1]} do not share three neighbouring columns."
        return "C and D share three neighbouring columns, and you miss them."
    return ""


def _is_pair(pair) -> bool:
    return isinstance(pair, list | tuple | frozenset) and len(pair) == 2 and all(isinstance(n, str) for n in pair)


CHECKS = {1: _bounds, 2: _unit, 3: _best, 4: _copied}
