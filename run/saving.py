"""Files and resuming: each file is written under a temporary name and then renamed, so a killed
run never leaves half a file, and what it saved last is enough to end with the same bits."""
import contextlib
import dataclasses
import hashlib
import json
import os
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import torch

from run import Progress, UserError

PATIENCE = 30       # seconds for a server that sends nothing


@contextlib.contextmanager
def atomic(path):
    """`with atomic(path) as temporary:` the file gets its name only when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, figures):
    text = json.dumps(figures, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def write_json_lines(path, rows):
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    with atomic(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def read_json(path, made_by=None):
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        mend = f": run `python {made_by}` first" if made_by else ""
        raise UserError(f"{path} not found{mend}") from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from None


def fetch(address, path):
    """The bytes at an address into a file, and how far that is."""
    request = Request(address, headers={"User-Agent": "train_pretrain.py"})
    with urlopen(request, timeout=PATIENCE) as answer, open(path, "wb") as file:
        total = int(answer.headers.get("Content-Length") or 0)  # 0: the server does not say
        progress = Progress(total, name=f"{address} byte")
        while block := answer.read(1 << 20):
            file.write(block)
            if total:
                progress.report(file.tell())
        if total and file.tell() != total:
            raise OSError(f"{file.tell()} of {total} bytes came")


def save_torch(path, content):
    with atomic(path) as temporary, open(temporary, "wb") as file:
        torch.save(content, file)           # given a path, torch would write its name into the file


def read_torch(path, made_by=None, device="cpu"):
    """torch.load of tensors and plain values only; a UserError names the script that makes it."""
    mend = f"run `python {made_by}` first" if made_by else "check the path"
    if not Path(path).is_file():
        raise UserError(f"{path} not found: {mend}")
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception:                       # torch raises a dozen kinds for a file not its own
        raise UserError(f"{path} is not a file that this project saved (empty, cut short or "
                        f"foreign): {mend}") from None


def read_checkpoint(path, device):
    """What model.save_checkpoint wrote, and the path of the tokenizer that lies beside it."""
    made_by = f"train_{path.stem}.py" if path.stem in ("pretrain", "sft", "rm", "ppo") else None
    saved = read_torch(path, made_by, device)
    parts = {"config", "weights", "tokenizer", "meta", "scalar"}
    if not isinstance(saved, dict) or not parts <= set(saved):
        raise UserError(f"{path} holds no model: give a checkpoint such as out/pretrain.pt")
    vocabulary = path.parent / "tokenizer.json"
    if not vocabulary.is_file():
        raise UserError(f"{vocabulary} not found: it belongs beside {path.name}; "
                        "`python train_pretrain.py` makes both")
    return saved, vocabulary


def digest(*paths):
    """Sixteen hex digits that differ when a byte of any of the files does."""
    content = b"".join(Path(path).read_bytes() for path in paths)
    return hashlib.sha256(content).hexdigest()[:16]


class Resumable:
    """What a stage saves now and then: its parts (model, optimizer, generators), plain values.

        saved = Resumable(config, "sft", model=model, optimizer=optimizer, rng=rng)
        values = saved.load() or {"step": 0, "losses": []}
        ... saved.save(step=step, losses=losses)

    made_from: {"text": a fingerprint}; where one has changed, `load` refuses.
    """

    def __init__(self, config, stage, made_from=None, **parts):
        self.config, self.made_from, self.parts = config, made_from or {}, parts
        self.path = Path(config.out) / f"{stage}.state.pt"

    def save(self, **values):
        settings = dataclasses.asdict(self.config)
        parts = {name: state_of(part) for name, part in self.parts.items()}
        save_torch(self.path, {"config": plain(settings), "made_from": self.made_from,
                               "parts": parts, "values": values})

    def load(self):
        """The plain values saved last, the parts set to what they were then. {} without --resume,
        or, said so, where nothing is saved. Raises UserError where a setting has changed."""
        if not self.config.resume:
            return {}
        if not self.path.exists():
            print(f"nothing saved in {self.path}: starting afresh", file=sys.stderr)
            return {}
        saved = read_torch(self.path)
        for name, before in saved["made_from"].items():
            if self.made_from.get(name) != before:
                raise UserError(f"{self.path} was made from another {name} than there is now: "
                                "start afresh without --resume")
        now = plain(dataclasses.asdict(self.config))
        for name, before in saved["config"].items():
            if name not in ("out", "resume") and now.get(name) != before:
                raise UserError(f"{self.path} was made with {name} = {before}, now it is "
                                f"{now.get(name)}: give the same flags, or start afresh without "
                                "--resume")
        for name, part in self.parts.items():
            give_state(part, saved["parts"][name])
        return saved["values"]


def plain(settings):
    return {name: list(v) if isinstance(v, tuple) else v for name, v in settings.items()}


def state_of(part):
    """What a module or optimizer, a torch.Generator or a random.Random is made of."""
    for method in ("state_dict", "get_state", "getstate"):
        if hasattr(part, method):
            return getattr(part, method)()
    raise TypeError(f"{part!r} has no state that can be saved")


def give_state(part, state):
    for method in ("load_state_dict", "set_state", "setstate"):
        if hasattr(part, method):
            return getattr(part, method)(state)


def dependencies(settings, inputs):
    """What shards are made from, as text: settings (a dict), input files, code."""
    here = Path(__file__).parent.parent
    code = digest(here / "bpe.py", *sorted((here / "data").rglob("*.py")))
    return json.dumps({**settings, "inputs": inputs, "code": code})


def finished_shards(folder, made_from):
    """shards.json's content where all that the token ids depend on is as it was and tokenizer.json
    is the one they were made with, else None: then all is made anew."""
    description, vocabulary = Path(folder) / "shards.json", Path(folder) / "tokenizer.json"
    if not (description.exists() and vocabulary.exists()):
        return None
    found = read_json(description)
    as_it_was = made_from, digest(vocabulary)
    return found if (found.get("made_from"), found.get("vocabulary")) == as_it_was else None
