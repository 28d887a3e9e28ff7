"""Experiments: what happens if one thing is done otherwise. The lessons' figures come from here.

in    lessons/experiments.toml, the list; out/ of a default run
out   lessons/experiments/NAME.json (commands, changes, machine, seconds and figures of each
      variant and seed), NAME.png
run   python lessons/experiments.py --list
      python lessons/experiments.py replay              trains in a copy of out/, out/ stays
      python lessons/experiments.py replay --seeds 0    one seed; --quick: to see that it runs
see   python lessons/experiments.py --table             what came out, as the lessons show it
"""
import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
import run

FOLDER = ROOT / "lessons" / "experiments"
CODE = ("*.py", "run/*.py", "data/*.py", "data/world/*.py", "kernels/*.py", "lessons/*.py")
MADE = ("tokenizer.json", "shards.json", "rankings.jsonl", "*.bin", "*.json",
        "pretrain.pt", "sft.pt", "rm.pt", "ppo.pt")


def load_list():
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
    """Runs the stages in a copy of code and out/ -> a row of NAME.json."""
    started = time.time()
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
        figures = {name: figure_of(folder / "out", place)
                   for name, place in experiment["figures"].items()}
        kept = {place: figure_of(folder / "out", place) for place in experiment.get("keeps", [])}
    return {"seed": seed, "commands": commands, "changes": changes, "machine": machine(),
            "seconds": round(time.time() - started), "figures": figures, "kept": kept}


def machine():
    chip = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return f"{chip}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def key(stage):
    """"train_ppo.py", "lessons/train_dpo.py" -> "ppo", "dpo": what its flags are called."""
    return Path(stage).stem.removeprefix("train_")


def figure_of(out, place):
    """"ppo.json greedy ppo honest" -> a number; "ppo.jsonl gold_reward" -> a list of them;
    "ppo.jsonl" -> all its columns. Four digits of each number."""
    file, *names = place.split()
    text = (out / file).read_text(encoding="utf-8")
    if file.endswith(".jsonl"):
        rows = [json.loads(line, parse_float=four_digits) for line in text.splitlines()]
        found = {name: [row[name] for row in rows] for name in rows[0]}
    else:
        found = json.loads(text, parse_float=four_digits)
    for name in names:
        found = found[name]
    return found["value"] if isinstance(found, dict) and "value" in found else found


def four_digits(number):
    return float(f"{float(number):.4g}")


def draw(name, experiment, results):
    """Lists of numbers as curves, numbers as bars: the mean over seeds, each seed a dot."""
    figure, axes = run.new_picture(len(experiment["figures"]), width=4.0)
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


def table(name):
    """lessons/experiments/NAME.json as lines of Markdown: means over the seeds, and their range.
    Of a curve the last five iterations count."""
    variants = run.read_json(FOLDER / f"{name}.json")["variants"]
    titles = list(next(iter(variants.values()))[0]["figures"])
    lines = [f"| {name} | " + " | ".join(titles) + " | seeds | seconds |",
             "|---|" + "---|" * (len(titles) + 2)]
    for label, rows in variants.items():
        cells = [spread([at_the_end(row["figures"][title]) for row in rows]) for title in titles]
        seconds = sum(row["seconds"] for row in rows) / len(rows)
        lines.append(f"| {label} | " + " | ".join(cells) + f" | {len(rows)} | {seconds:.0f} |")
    return lines


def at_the_end(figure):
    return sum(figure[-5:]) / len(figure[-5:]) if isinstance(figure, list) else figure


def spread(values):
    """[0.5, 0.6, 0.7] -> "0.60 (0.50 to 0.70)", [0.5] -> "0.50"."""
    mean = sum(values) / len(values)
    digits = 2 if abs(mean) >= 0.05 else 3
    low, high = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return f"{mean:.{digits}f}" + f" ({low} to {high})" * (len(values) > 1)


def conduct(name, experiment, options):
    """Runs every variant with every seed; writes what came out after each."""
    results, started = {}, time.time()
    for label, variant in experiment["variants"].items():
        for seed in options.seeds:
            row = run_variant(experiment, variant, options.out, seed, options.quick)
            results.setdefault(label, []).append(row)
            numbers = {k: v for k, v in row["figures"].items() if not isinstance(v, list)}
            print(f"{label}, seed {seed}: "
                  + ", ".join(f"{title} {value:.2f}" for title, value in numbers.items()))
            run.write_json(FOLDER / f"{name}.json", {"shows": experiment["shows"],
                                                     "quick": options.quick, "variants": results})
    draw(name, experiment, results)
    print(f"{FOLDER.relative_to(ROOT)}/{name}.json, {name}.png   {time.time() - started:.0f} s")


def main():
    listed = load_list()
    parser = run.OneLineParser(prog="lessons/experiments.py", description=__doc__,
                               formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=listed, metavar="NAME")
    parser.add_argument("--list", action="store_true", help="what each shows, and its minutes")
    parser.add_argument("--table", action="store_true", help="what came out, of NAME or of all")
    parser.add_argument("--out", default="out", help="a default run's (out)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.table:
        for name in [options.name] if options.name else listed:
            print(f"{listed[name]['shows']}:\n", *table(name), "", sep="\n")
    elif options.list or not options.name:
        for name, experiment in listed.items():
            print(f"{name:18} lesson {experiment['lesson']}, {experiment['minutes']:3} min a seed"
                  f"   {experiment['shows']}")
    else:
        FOLDER.mkdir(exist_ok=True)
        conduct(options.name, listed[options.name], options)


if __name__ == "__main__":
    run.main(main)
