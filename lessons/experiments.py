"""Experiments: what happens if one thing is done otherwise. The lessons' figures come from here.

in    lessons/experiments.toml, the list; out/ of a default run
out   lessons/experiments/NAME.json (commands, changes, machine, figures of each seed), NAME.png
run   python lessons/experiments.py --list
      python lessons/experiments.py replay              trains in a copy of out/, out/ stays
      python lessons/experiments.py replay --seeds 0    one seed; --quick: to see that it runs
"""
import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
import run

FOLDER = ROOT / "lessons" / "experiments"
CODE = ("*.py", "run/*.py", "data/*.py", "data/world/*.py", "kernels/*.py", "lessons/*.py")
MADE = ("tokenizer.json", "shards.json", "rankings.jsonl", "*.bin", "pretrain.pt", "pretrain.json",
        "sft.pt", "sft.json", "rm.pt", "rm.json")


def load_table():
    """{name: experiment} of the list, checked."""
    table = tomllib.loads((ROOT / "lessons" / "experiments.toml").read_text(encoding="utf-8"))
    for name, experiment in table.items():
        missing = {"lesson", "shows", "minutes", "stages", "figures", "variants"} - set(experiment)
        if missing:
            raise run.UserError(f"experiments.toml: {name} lacks {', '.join(sorted(missing))}")
    return table


def change(folder, edits):
    """Puts each [file, line as it is, line instead] into a copy of the code; the line's indentation
    stays. Returns the changes as a person reads them."""
    said = []
    for file, before, after in edits:
        path = folder / file
        lines = path.read_text(encoding="utf-8").splitlines()
        places = [i for i, line in enumerate(lines) if line.strip() == before]
        if len(places) != 1:
            raise run.UserError(f"experiments.toml: {file} holds {len(places)} times: {before}")
        line = lines[places[0]]
        lines[places[0]] = line[: len(line) - len(line.lstrip())] + after
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        said += [f"{file}: - {before}", f"{file}: + {after}"]
    return said


def copy(patterns, source, target):
    for pattern in patterns:
        for path in source.glob(pattern):
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def run_variant(experiment, variant, out, seed, quick):
    """Runs the stages in a copy of code and out/ -> (commands, changes, figures)."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        copy(CODE, ROOT, folder)
        copy(MADE, Path(out), folder / "out")
        changes = change(folder, variant.get("edits", []))
        commands = [f"python {stage} --seed {seed}" + f" {variant.get(key(stage), '')}".rstrip()
                    + " --quick" * quick for stage in experiment["stages"]]
        for command in commands:
            print(f"+ {command}", flush=True)
            done = subprocess.run([sys.executable, *command.split()[1:]], cwd=folder,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if done.returncode:
                raise run.UserError(f"{command}: {done.stderr.strip().splitlines()[-1]}")
        return commands, changes, {name: figure_of(folder / "out", place)
                                   for name, place in experiment["figures"].items()}


def key(stage):
    """"train_ppo.py", "lessons/train_dpo.py" -> "ppo", "dpo": what its flags are called."""
    return Path(stage).stem.removeprefix("train_")


def figure_of(out, place):
    """"ppo.json greedy ppo honest" -> a number; "ppo.jsonl gold_reward" -> a list of them."""
    file, *names = place.split()
    text = (out / file).read_text(encoding="utf-8")
    if file.endswith(".jsonl"):
        return [json.loads(line)[names[0]] for line in text.splitlines()]
    found = json.loads(text)
    for name in names:
        found = found[name]
    return found["value"] if isinstance(found, dict) else found


def draw(name, experiment, results):
    """Lists of numbers as curves, numbers as bars: the mean over seeds, each seed a dot."""
    figure, axes = run.new_picture(len(experiment["figures"]))
    for ax, title in zip(axes, experiment["figures"]):
        for i, (label, seeds) in enumerate(results.items()):
            values = [row["figures"][title] for row in seeds]
            if isinstance(values[0], list):
                ax.plot([sum(at) / len(at) for at in zip(*values)], label=label, linewidth=1)
                continue
            ax.barh(i, sum(values) / len(values), color=f"C{i}", alpha=0.6)
            ax.plot(values, [i] * len(values), "k.", markersize=4)
        if isinstance(values[0], list):
            ax.legend()
        else:
            ax.set(yticks=range(len(results)), yticklabels=list(results))
        ax.set(title=title)
    run.save_picture(FOLDER / f"{name}.png", figure)


def conduct(name, experiment, options):
    """Runs every variant with every seed; writes what came out after each."""
    started, results = time.time(), {}
    for label, variant in experiment["variants"].items():
        for seed in options.seeds:
            commands, changes, figures = run_variant(experiment, variant, options.out, seed,
                                                     options.quick)
            row = {"seed": seed, "commands": commands, "changes": changes, "figures": figures}
            results.setdefault(label, []).append(row)
            shown = {k: v for k, v in figures.items() if not isinstance(v, list)}
            print(f"{label}, seed {seed}: "
                  + ", ".join(f"{title} {value:.2f}" for title, value in shown.items()))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, torch " + version("torch")
    run.write_json(FOLDER / f"{name}.json", {
        "shows": experiment["shows"], "machine": machine, "quick": options.quick,
        "seconds": time.time() - started, "variants": results})
    draw(name, experiment, results)
    print(f"{FOLDER.relative_to(ROOT)}/{name}.json, {name}.png   {time.time() - started:.0f} s")


def main():
    table = load_table()
    parser = run.OneLineParser(prog="lessons/experiments.py", description=__doc__,
                               formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=table, metavar="NAME")
    parser.add_argument("--list", action="store_true", help="what each shows, and its minutes")
    parser.add_argument("--out", default="out", help="a default run's (out)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.list or not options.name:
        for name, experiment in table.items():
            print(f"{name:18} lesson {experiment['lesson']}, {experiment['minutes']:3} min a seed"
                  f"   {experiment['shows']}")
        return
    FOLDER.mkdir(exist_ok=True)
    conduct(options.name, table[options.name], options)


if __name__ == "__main__":
    run.main(main)
