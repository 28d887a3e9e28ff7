"""Token shards: the corpus as files of plain token ids that are mapped into memory, never read whole.

in    clean documents and a tokenizer
out   out/train-00000.bin, out/heldout-00000.bin ... and out/shards.json, which describes them:
      {"dtype": "uint16", "train": {"files": [[name, tokens], ...], "tokens", "documents", "bytes"}, "heldout": {...}}
use   shards = load_shards("out"); rows = sample_rows(shards, 32, 64, generator)        (pre-training, and replay in later stages)
"""
import json
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import numpy as np
import torch

import run

SPLITS = ("train", "heldout")
SHARD_TOKENS = 1 << 27                                                  # 256 MB of uint16: large enough to read in one sweep, small enough to copy


# ---- when is finished work still good?

def dependencies(settings, inputs):
    """What a set of shards is made from, as text: settings (a dict), the input files, and the code that makes them."""
    here = Path(__file__).parent
    code = blake2b(b"".join(path.read_bytes() for path in [here.parent / "bpe.py", *sorted(here.rglob("*.py"))]), digest_size=8).hexdigest()
    return json.dumps({**settings, "inputs": inputs, "code": code})


def finished_shards(folder, made_from):
    """shards.json's content where all that the token ids depend on is as it was, else None."""
    path = Path(folder) / "shards.json"
    if not path.exists() or not (path.parent / "tokenizer.json").exists():
        return None
    description = run.read_json(path)
    return description if description.get("made_from") == made_from else None


# ---- which document goes where

def split_documents(path, heldout_share=0.01, heldout_tail=0.0, characters=0):
    """Reads cleaned text (one JSON string a line) and yields (split, text): by a hash of the document, so that it never changes sides,
    or, with heldout_tail, the last part of the whole text of so many characters, cut to the character."""
    cut, at = int(characters * (1 - heldout_tail)), 0
    with open(path, encoding="utf-8") as file:
        for line in file:
            text = json.loads(line)
            if not heldout_tail:
                place = int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big") / 2**32
                yield ("heldout" if place < heldout_share else "train"), text
                continue
            head, tail = text[: max(0, cut - at)], text[max(0, cut - at) :]
            at += len(text)
            if head:
                yield "train", head
            if tail:
                yield "heldout", tail


# ---- writing

class ShardWriter:
    """Appends token ids to <split>-00000.bin, -00001.bin ..., each under a temporary name until `close`."""

    def __init__(self, folder, split, shard_tokens=SHARD_TOKENS):
        self.folder, self.split, self.shard_tokens = Path(folder), split, shard_tokens
        self.files, self.file, self.documents, self.bytes = [], None, 0, 0

    def path(self, index, ending=".bin"):
        return self.folder / f"{self.split}-{index:05d}{ending}"

    def add(self, ids, documents, text_bytes):
        """ids: numpy array of whole documents, so that no document is cut by a file's end."""
        if self.file is None or self.files[-1][1] >= self.shard_tokens:
            if self.file:
                self.file.close()
            self.file = open(self.path(len(self.files), ".tmp"), "wb")
            self.files.append([self.path(len(self.files)).name, 0])
        self.file.write(ids.tobytes())
        self.files[-1][1] += len(ids)
        self.documents, self.bytes = self.documents + documents, self.bytes + text_bytes

    def close(self):
        """-> this split's entry in shards.json."""
        if self.file:
            self.file.close()
        for old in self.folder.glob(f"{self.split}-*.bin"):             # of an earlier, longer set
            old.unlink()
        for index in range(len(self.files)):
            self.path(index, ".tmp").rename(self.path(index))
        return {"files": self.files, "tokens": sum(tokens for _, tokens in self.files), "documents": self.documents, "bytes": self.bytes}


def encode_batch(batch):
    """[(split, text)] -> {split: (ids, documents, bytes of text)}; runs in a worker that was given the tokenizer once."""
    answer = {}
    for split in SPLITS:
        texts = [text for part, text in batch if part == split]
        if texts:
            answer[split] = encode_batch.tokenizer.encode_corpus(texts), len(texts), sum(len(text.encode()) for text in texts)
    return answer


def give_tokenizer(tokenizer):
    encode_batch.tokenizer = tokenizer


def batches(documents, characters=1 << 20):
    """Lists of (split, text) with about a million characters each."""
    batch, size = [], 0
    for split, text in documents:
        batch.append((split, text))
        size += len(text)
        if size >= characters:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def write_shards(folder, documents, tokenizer, workers=2, **more):
    """Encodes (split, text) pairs with `workers` processes into shards under `folder`; shards.json comes last, so its presence means they are whole.

    Memory holds a few batches, whatever the corpus. Returns what was written to shards.json.
    """
    writers = {split: ShardWriter(folder, split) for split in SPLITS}
    waiting, jobs = deque(), batches(documents)
    with ProcessPoolExecutor(workers, initializer=give_tokenizer, initargs=(tokenizer,)) as pool:
        while True:
            waiting.extend(pool.submit(encode_batch, batch) for batch in islice(jobs, 2 * workers - len(waiting)))
            if not waiting:
                break
            for split, entry in waiting.popleft().result().items():
                writers[split].add(*entry)
    (Path(folder) / "shards.json").unlink(missing_ok=True)
    description = {"dtype": str(tokenizer.dtype.__name__), **{split: writer.close() for split, writer in writers.items()}, **more}
    run.write_json(Path(folder) / "shards.json", description)
    return description


# ---- reading

class Shards:
    """The files of one split as one long row of token ids: len(shards), shards[a:b] -> numpy int64. Only what is asked for is read."""

    def __init__(self, arrays):
        self.arrays = arrays
        self.ends = np.cumsum([len(array) for array in arrays])

    def __len__(self):
        return int(self.ends[-1]) if len(self.arrays) else 0

    def __getitem__(self, span):
        start, stop, _ = span.indices(len(self))
        pieces = []
        while start < stop:
            index = int(np.searchsorted(self.ends, start, side="right"))
            first = int(self.ends[index]) - len(self.arrays[index])
            end = min(stop, int(self.ends[index]))
            pieces.append(self.arrays[index][start - first : end - first])
            start = end
        return np.concatenate(pieces).astype(np.int64) if pieces else np.zeros(0, np.int64)


def load_shards(folder, split="train"):
    """The shards of one split under an --out folder, memory-mapped. Raises run.UserError where they are missing or cut short."""
    folder = Path(folder)
    description = run.read_json(folder / "shards.json", "train_pretrain.py")
    arrays = []
    for name, tokens in description[split]["files"]:
        path, dtype = folder / name, np.dtype(description["dtype"])
        if not path.is_file() or path.stat().st_size != tokens * dtype.itemsize:
            raise run.UserError(f"{path} is missing or cut short: delete {folder / 'shards.json'} and run `python train_pretrain.py` again")
        arrays.append(np.memmap(path, dtype, mode="r"))
    return Shards(arrays)


def sample_rows(shards, B, T, generator):
    """B windows of T+1 tokens at random places: (B, T+1) int64. generator: a torch.Generator on the CPU, which alone decides where."""
    if len(shards) <= T + 1:
        raise run.UserError(f"the text has only {len(shards)} tokens, a row needs {T + 2}: give more text or a smaller --block-size")
    starts = torch.randint(len(shards) - T, (B,), generator=generator).tolist()
    return torch.from_numpy(np.stack([shards[start : start + T + 1] for start in starts]))      # (B, T+1)
