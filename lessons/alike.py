"""Who wrote alike: the syntax trees of holes, with all names made the same, compared by pairs.

Two who understood one docstring may write one line alike; that all their holes are alike, down to
the order of the lines, is worth a talk. Our own solution is one of the class: this is public.
"""
import ast
import csv
import itertools
import textwrap
from difflib import SequenceMatcher

import run

ALIKE = 0.95                    # from here on a pair is printed
OURS = "(our solution)"
# A hole has no need of these; who reads what the tests hold, or changes them, does.
MEANS = ("__import__", "builtins", "compile", "conftest", "ctypes", "eval", "exec", "gc", "globals",
         "importlib", "inspect", "monkeypatch", "open", "os", "pytest", "signal", "socket",
         "subprocess", "sys", "_getframe", "__globals__", "__builtins__", "__subclasses__")


def parse(lines):
    """Lines of a hole -> its syntax tree; None where they are no Python."""
    source = "def hole():\n" + textwrap.indent(textwrap.dedent("\n".join(lines)), "    ")
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def suspicious(lines):
    """Names among MEANS that a hole holds."""
    tree = parse(lines)
    found = set()
    for node in ast.walk(tree) if tree else ():
        names = [getattr(node, field, None) for field in ("id", "attr", "module", "name")]
        found |= {name.split(".")[0] for name in names if isinstance(name, str)}
    return sorted(found & set(MEANS))


def shape(lines):
    """The kinds of nodes in order, names replaced by their places of first use."""
    tree, names, found = parse(lines), {}, []
    for node in ast.walk(tree) if tree else ():
        found.append(type(node).__name__)
        for field in ("id", "arg", "attr", "name"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                found.append(name if field == "attr" else names.setdefault(name, len(names)))
        if isinstance(node, ast.Constant):
            found.append(repr(node.value)[:40])
    return found


def compare(one, other):
    """{part: lines or None} of two -> (likeness 0 to 1 over the parts that both wrote, nodes)."""
    same = size = 0
    for part in one:
        if one[part] and other.get(part):
            a, b = shape(one[part]), shape(other[part])
            longer = max(len(a), len(b))
            same += longer * SequenceMatcher(None, a, b, autojunk=False).ratio()
            size += longer
    return (same / size if size else 0.0), size


def report(pieces, ours, path):
    """Prints the pairs that are most alike, and writes all to `path` where one is given."""
    rows, everyone = [], pieces | {OURS: ours}
    for one, other in itertools.combinations(everyone, 2):
        likeness, size = compare(everyone[one], everyone[other])
        rows.append((round(likeness, 3), one, other, size))
    rows.sort(key=lambda row: (-row[0], row[1:]))
    for likeness, one, other, _ in rows:
        if likeness >= ALIKE:
            print(f"alike {likeness:.2f}: {one} and {other}")
    if path:
        with run.atomic(path) as temporary, open(temporary, "w", newline="",
                                                 encoding="utf-8") as file:
            csv.writer(file).writerows([("likeness", "one", "other", "nodes"), *rows])
