"""What a student handed in: which files, which lines of them count, what else was changed."""
from pathlib import Path
from typing import NamedTuple

import assignment as A
import handout

LARGEST = 1 << 20               # bytes of a file that somebody wrote by hand
MOST_FILES = 20_000             # that are looked through for a student's own


class Hole(NamedTuple):
    """A part's place: in our file, and in the one that was handed out (lines)."""
    part: A.Part
    ours: list
    place: tuple
    handed: list
    handed_place: tuple


class Work(NamedTuple):
    """What a student handed in."""
    files: dict                 # "train_ppo.py" -> lines
    notes: list


# ------------------------------------------------------------------------------ what was handed in
def read_work(path, names):
    """A student's folder or file -> Work. Of several files of a name the one nearest to the top."""
    work = Work({}, [])
    inside = [path] if path.is_file() else sorted(path.rglob("*"), key=lambda p: len(p.parts))
    for name in names:
        tail = Path(name).parts
        found = [p for p in inside if p.parts[-len(tail):] == tail and "tests" not in p.parts]
        found = found or [p for p in inside if path.is_file() and len(names) == 1]
        if not found and name.endswith(".md"):
            continue                        # the question's own cell says so
        if not found:
            work.notes.append(f"{name} is missing")
        elif found[0].is_symlink() or not found[0].is_file():
            work.notes.append(f"{name} is a link or a folder, no file: not read")
        elif found[0].stat().st_size > LARGEST:
            work.notes.append(f"{name} is over {LARGEST} bytes: not read")
        else:
            content = found[0].read_bytes()
            work.files[name] = A.lines_of(content)
            if name.endswith(".py") and not is_utf8(content):
                work.notes.append(f"{name} is not UTF-8: read as UTF-16 or Latin-1")
    return work


def is_utf8(content):
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def all_holes(assignment, tree, keep_later):
    handed, holes = handout.handed_out(assignment, tree, keep_later), []
    for part in assignment.parts:
        if part.kind != "explain":
            ours, theirs = tree[part.file].decode().split("\n"), handed[part.file].split("\n")
            ours_at, theirs_at = handout.places(part, ours, theirs)
            holes.append(Hole(part, ours, ours_at, theirs, theirs_at))
    return holes


def written(hole, work):
    """-> (the lines a student wrote for this part or None, why there are none)"""
    lines = work.files.get(hole.part.file)
    if lines is None:
        return None, "nothing was handed in"
    place = A.find_place(lines, hole.handed, hole.handed_place)
    if place is None:
        return None, "the line above it, or the one that follows, is not as it was handed out"
    start, end = hole.handed_place
    if bare(lines[slice(*place)]) == bare(hole.handed[start:end]):
        return None, "not written yet" if hole.part.kind == "fill" else "not found yet"
    return lines[slice(*place)], ""


def bare(lines):
    return [line.strip() for line in lines if line.strip()]


def changed_elsewhere(work, holes):
    """Notes on lines outside of all places."""
    notes = []
    for name, lines in work.files.items():
        here = [hole for hole in holes if hole.part.file == name]
        if not here:
            continue
        theirs, handed = list(lines), list(here[0].handed)
        for hole in here:
            for text, place in ((theirs, A.find_place(lines, hole.handed, hole.handed_place)),
                                (handed, hole.handed_place)):
                for at in range(*(place or (0, 0))):
                    text[at] = ""
        left = set(bare(handed))
        changed = [line for line in bare(theirs) if line not in left]
        gone = len(left - set(bare(theirs)))
        if changed or gone:
            notes.append(f"{name}: other lines than asked for were changed ({len(changed)} new, "
                         f"{gone} gone); ours were used" + f": {changed[0][:60]}" * bool(changed))
    return notes
