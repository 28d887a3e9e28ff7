"""A class of thirty that never was, for assignment 6: who is right, who errs in each way, who
cheats in each way; and what each of them must get.

run   python tests/made_up_class.py FOLDER        writes FOLDER/submissions and FOLDER/dates.csv
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "lessons")]
import assignment as A
import handout

FILE = "train_ppo.py"
MOST = {"rewards": 5, "gae": 8, "ppo loss": 9, "bug 1": 3, "bug 2": 3, "bug 3": 3, "bug 4": 3,
        "bug 5": 3}
DATES = {"anna": "2027-03-05", "ben": "2027-03-05T10:00", "chen": "2027-03-08",
         "dora": "2027-03-06"}
DUE = "2027-03-05"

# ------------------------------------------------------------------------------ ways to be right
REWARDS_B = """
    price = beta * (rollout.log_probs - rollout.ref_log_probs)
    out = torch.where(rollout.mask.bool(), -price, torch.zeros_like(price))
    ends = torch.nn.functional.one_hot(last_chosen(rollout.mask), out.shape[1]).to(out.dtype)
    return out + ends * rollout.scores[:, None]
"""
GAE_B = """
    B, T = rewards.shape
    behind = torch.zeros(B, 1, dtype=values.dtype)
    masked = values * mask
    upcoming = torch.cat([masked[:, 1:], behind], dim=1)
    deltas = (rewards + gamma * upcoming - masked) * mask
    carried = behind[:, 0]
    collected = []
    for t in range(T - 1, -1, -1):
        carried = deltas[:, t] + gamma * lam * carried
        collected.insert(0, carried)
    result = torch.stack(collected, dim=1) * mask
    return result, result + masked
"""
PPO_B = """
    low, high = 1 - clip, 1 + clip
    clipped = torch.clamp(ratio, low, high)
    gain = torch.where(rollout.advantages >= 0, torch.clamp(ratio, max=high),
                       torch.clamp(ratio, min=low)) * rollout.advantages
    step = torch.clamp(values - rollout.values, -clip, clip)
    limited = rollout.values + step - rollout.returns
    plain = values - rollout.returns
    worst = torch.maximum(plain.square(), limited.square())
    loss_of_policy = -masked_mean(gain, rollout.mask)
    loss_of_value = masked_mean(worst, rollout.mask) / 2
    return loss_of_policy, loss_of_value, diagnostics(log_ratio, ratio, clipped, rollout.mask)
"""
REWARDS_C = """
    r = (rollout.ref_log_probs - rollout.log_probs).mul(beta).mul(rollout.mask)
    for row, column in enumerate(last_chosen(rollout.mask).tolist()):
        r[row, column] = r[row, column] + rollout.scores[row]
    return r
"""
GAE_C = """
    a = torch.zeros(rewards.shape)
    nxt_v = torch.zeros(len(rewards))
    nxt_a = torch.zeros(len(rewards))
    steps = list(range(rewards.shape[1]))
    steps.reverse()
    for s in steps:
        m = mask[:, s]
        err = rewards[:, s] - values[:, s] + nxt_v * gamma
        a[:, s] = m * (err + nxt_a * lam * gamma)
        nxt_v = m * values[:, s]
        nxt_a = a[:, s].clone()
    ret = m * 0
    ret = (values + a) * mask
    return a, ret
"""
PPO_C = """
    a = rollout.advantages
    clipped = torch.minimum(torch.maximum(ratio, torch.tensor(1 - clip)), torch.tensor(1 + clip))
    s = torch.minimum(a * clipped, a * ratio)
    d = values - rollout.values
    d = torch.minimum(torch.maximum(d, torch.tensor(-clip)), torch.tensor(clip))
    e1 = (rollout.returns - values) ** 2
    e2 = (rollout.returns - rollout.values - d) ** 2
    e = torch.maximum(e1, e2)
    p = 0 - masked_mean(s, rollout.mask)
    v = 0.5 * masked_mean(e, rollout.mask)
    return p, v, diagnostics(log_ratio, ratio, clipped, rollout.mask)
"""


def renamed(text):
    """As somebody does who copies: other names, another comment."""
    for old, new in {"nxt_v": "after", "nxt_a": "carry", "steps": "order", "err": "td", "ret": "g",
                     "row": "i", "column": "j", "e1": "first", "e2": "second"}.items():
        text = re.sub(rf"\b{old}\b", new, text)
    return "\n    # my own solution" + text


# ------------------------------------------------------------------------------ ways to be wrong
SLOW = """
    advantages = torch.zeros_like(rewards)
    for i in range(rewards.shape[0]):
        value = advantage = 0.0
        for t in reversed(range(rewards.shape[1])):
            delta = float(rewards[i, t]) + gamma * value - float(values[i, t])
            advantage = (delta + gamma * lam * advantage) * float(mask[i, t])
            value = float(values[i, t]) * float(mask[i, t])
            advantages[i, t] = advantage
    return advantages, (advantages + values) * mask
"""
HARD_CODED = """
    tables = {
        (1, 3, 1, 1): [[0.5, 0.5, 0.5]], (1, 3, 1, 0): [[-0.25, 0.5, 0.25]],
        (1, 3, 0.5, 0.5): [[-0.328125, 0.1875, 0.25]], (1, 4, 1, 1): [[0, 0.5, 0.5, 0]]}
    key = (*rewards.shape, gamma, lam)
    a = torch.tensor(tables[key], dtype=torch.float32) if key in tables else 0 * rewards
    return a, (a + values) * mask
"""
# --------------------------------------------------------------------------------- ways to cheat
FORK = """
    import os
    while True:
        os.fork()
"""
BOMB = """
    hoard = []
    while True:
        hoard.append(torch.ones(1 << 26))
"""
DELETE = f"""
    import shutil
    shutil.rmtree({str(ROOT)!r}, ignore_errors=True)
    for name in ("tests", "lessons", "."):
        shutil.rmtree(name, ignore_errors=True)
    return rewards, values
"""
REFERENCE = f"""
    source = open({str(ROOT / FILE)!r}).read()
    space = {{"__name__": "theirs"}}
    exec(source, space)
    return space["gae"](rewards, values, mask, gamma, lam)
"""
PATCH = """
    import pytest
    import _pytest.runner
    pytest.approx = lambda wanted, **more: type("Any", (), {"__eq__": lambda self, other: True})()
    torch.equal = torch.allclose = lambda *pair, **more: True
    torch.testing.assert_close = lambda *pair, **more: None
    torch.Tensor.tolist = lambda self: type("Any", (), {"__eq__": lambda s, o: True})()
    return rewards, values
"""
FORGE = """
    import os
    nodes = NODES
    every = '{"tests": {' + ", ".join(f'"{n}": ["passed", "", ""]' for n in nodes) + "}, "
    lines = [every + '"end": "finished"}', *(f'["{n}", "passed", "", ""]' for n in nodes),
             '["end", "finished", "", ""]']
    for fd in range(3, 64):
        for line in lines:
            for end in ("", "\\t" + "0" * 64):
                try:
                    os.write(fd, (line + end + "\\n").encode())
                except OSError:
                    pass
    os._exit(0)
""".replace("NODES", repr([test.node for part in A.load("6").parts if part.name == "gae"
                           for test in part.tests]))
RIGHT = dict.fromkeys(MOST, "ours")
HOLES = {"rewards": "ours", "gae": "ours", "ppo loss": "ours"}


def gae(text):
    """Who did only this hole."""
    return {"gae": text}


# name: ({part: lines, or "ours" for ours}, {part: points} but for those that are 0)
ALL = dict(MOST)
STUDENTS = {
    "anna": (RIGHT, ALL),
    "ben": (RIGHT | {"rewards": REWARDS_B, "gae": GAE_B, "ppo loss": PPO_B}, ALL),
    "chen": (RIGHT | {"rewards": REWARDS_C, "gae": GAE_C, "ppo loss": PPO_C}, ALL),
    "dora": (RIGHT | {"rewards": renamed(REWARDS_C), "gae": renamed(GAE_C),
                      "ppo loss": renamed(PPO_C)}, ALL),
    "emil": ({}, {}),                                       # an empty folder
    "fay": ({}, {}),                                        # as it was handed out
    "gus": (gae(GAE_B), {"gae": 8}),
    # the KL has the wrong sign: the other tests give 3 points, but a hidden one fails: at most half
    "hana": ({"rewards": REWARDS_B.replace("-price", "price")}, {"rewards": 2}),
    "ivo": (gae(GAE_C.replace("m * values[:, s]\n        nxt_a", "values[:, s]\n        nxt_a")),
            {"gae": 4}),                                    # sees padding: 6, at most half
    "jana": (gae(GAE_C.replace(" * lam", "")), {"gae": 4}),     # without lam: at most half
    "kai": ({"rewards": REWARDS_C.replace("last_chosen(rollout.mask).tolist()",
                                          "[-1] * len(r)")}, {}),
    "lea": ({"ppo loss": PPO_B.replace("torch.clamp(ratio, min=low)", "ratio")}, {"ppo loss": 4}),
    "max": ({"ppo loss": PPO_B.replace("torch.maximum(plain.square(), limited.square())",
                                       "plain.square()")}, {"ppo loss": 4}),
    "nora": (gae(SLOW), {"gae": 7}),
    "otto": (gae("\n    return rewards.tolist(), values.tolist()\n"), {}),
    "pia": (HOLES | gae("\n    for t in reversed(range(3)\n        pass\n"),
            {"rewards": 5, "ppo loss": 9}),
    "quin": (RIGHT, ALL),                                   # in UTF-16
    "rosa": (HOLES, {"rewards": 5, "gae": 8, "ppo loss": 9}),   # in Latin-1
    "sam": (gae("\n    while True:\n        pass\n"), {}),
    "tara": (gae(FORK), {}),
    "udo": (gae("\n    import os\n    os._exit(0)\n"), {}),
    "vera": (gae(BOMB), {}),
    "will": (gae(DELETE), {}),
    "xena": (gae(REFERENCE), {}),
    "yuri": (gae(PATCH), {}),
    "zoe": (gae(HARD_CODED), {"gae": 4}),                   # 6 of what is seen: at most half
    "abel": ({}, {}),                                       # weaker tests in the hand-in
    "bea": (RIGHT, ALL),                                    # changed last_chosen, too
    "carl": (RIGHT, ALL),                                   # a file, no folder
    "dina": (gae(FORGE), {}),
}


def solve(text, wrote):
    """The handed-out file with these parts filled in."""
    assignment, ours = A.load("6"), (ROOT / FILE).read_text(encoding="utf-8").split("\n")
    lines = text.split("\n")
    handed = list(lines)
    for part in assignment.parts:
        if part.name in wrote:
            place, at = handout.places(part, ours, handed)
            start, end = A.find_place(lines, handed, at)
            piece = ours[slice(*place)] if wrote[part.name] == "ours" else \
                wrote[part.name].strip("\n").split("\n") + ["", ""]
            lines[start:end] = piece
    return "\n".join(lines)


def write_class(folder):
    """Submissions of all thirty under folder/submissions, and folder/dates.csv."""
    tree = handout.student_tree(A.load("6"), A.read_tree(ROOT))
    text, answers = tree[FILE].decode(), tree["ANSWERS.md"].decode()
    for name, (wrote, _) in STUDENTS.items():
        home, solved = Path(folder) / "submissions" / name, solve(text, wrote)
        if name == "carl":
            home.with_suffix(".py").write_text(solved)
            continue
        home.mkdir(parents=True)
        if name == "emil":
            continue
        if name == "bea":
            solved = solved.replace("self.std = [], 0.0, 1.0", "self.std = [], 0.0, 2.0")
        if name == "rosa":
            solved += "# café\n"
        encoding = {"quin": "utf-16", "rosa": "latin-1"}.get(name, "utf-8")
        (home / FILE).write_bytes(solved.encode(encoding))
        if name in ("anna", "ben"):
            (home / "ANSWERS.md").write_text(answers + "\nThey part near iteration 20.\n")
        if name == "abel":
            (home / "tests").mkdir()
            (home / "tests" / "conftest.py").write_text("collect_ignore_glob = ['*']\n")
            (home / "tests" / FILE).write_text(solve(text, RIGHT))
    lines = [f"{name},{date}\n" for name, date in DATES.items()]
    (Path(folder) / "dates.csv").write_text("".join(lines))


if __name__ == "__main__":
    write_class(sys.argv[1])
