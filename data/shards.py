"""Token shards: the corpus as files of plain token ids, mapped into memory and never read whole.

in    clean documents and a tokenizer
out   out/train-00000.bin, out/heldout-00000.bin ... and, last, out/shards.json: {"dtype": "uint16",
      "train": {"files": [[name, tokens], ...], "tokens", "documents", "bytes"}, "heldout": {...}}
use   sample_rows(load_shards("out"), 32, 64, generator)    (pre-training; replay in later stages)
"""
import json
import re
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch

import run
from run.workers import batches, in_order

SPLITS = ("train", "heldout")
SHARD_TOKENS = 1 << 27  # 256 MB of uint16: large enough to read in one sweep, small enough to copy


# ---- which document goes where
def split_documents(path, heldout_share=0.01, heldout_tail=0.0, characters=0):
    """Reads cleaned text (one JSON string a line) and yields (split, text): held out by a hash of
    the document, so that it never changes sides, or, with heldout_tail, the end of the whole text
    of so many characters, cut to the character or, where one begins soon after, to the word."""
    left = int(characters * (1 - heldout_tail))  # before the tail
    spaces = re.compile(r"\s(?=\S)")
    with open(path, encoding="utf-8") as file:
        for text in map(json.loads, file):
            if not heldout_tail:
                yield ("heldout" if place_of(text) < heldout_share else "train"), text
                continue
            if 0 < left < len(text) and (space := spaces.search(text, left - 1, left + 60)):
                left = space.end()
            head, tail = text[:left], text[left:]
            left -= len(head)
            if head:
                yield "train", head
            if tail:
                yield "heldout", tail


def tail_to_hold_out(path, share, tail, characters):
    """`tail`, or a tenth, said in a line, where `share` would leave no document on one side."""
    if not tail and not all(any(side == split for side, _ in split_documents(path, share))
                            for split in SPLITS):
        tail = 0.1
        print(f"too few documents for --heldout-share {share:g}: the last tenth of the text is "
              "held out instead (--heldout-tail 0.1)")
    if tail and not 0 < int(characters * (1 - tail)) < characters:
        raise run.UserError(f"the text has only {characters} characters, of which {tail:g} cannot "
                            "be held out: give more text")
    return tail


def place_of(text):
    """Between 0 and 1, evenly spread over texts."""
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big") / 2**32


# ---- writing
class ShardWriter:
    """Writes <split>-00000.bin, -00001.bin ..., each under a temporary name until `close`."""

    def __init__(self, folder, split, shard_tokens=SHARD_TOKENS):
        self.folder, self.split, self.shard_tokens = Path(folder), split, shard_tokens
        self.file, self.files = None, []
        self.documents = self.bytes = 0

    def path(self, index, ending=".bin"):
        return self.folder / f"{self.split}-{index:05d}{ending}"

    def add(self, ids, documents, text_bytes):
        """ids: array of whole documents, so that no file's end cuts one."""
        if self.file is None or self.files[-1][1] >= self.shard_tokens:
            if self.file:
                self.file.close()
            self.file = open(self.path(len(self.files), ".tmp"), "wb")
            self.files.append([self.path(len(self.files)).name, 0])
        self.file.write(ids.tobytes())
        self.files[-1][1] += len(ids)
        self.documents += documents
        self.bytes += text_bytes

    def close(self):
        """-> this split's entry in shards.json."""
        if self.file:
            self.file.close()
        for old in self.folder.glob(f"{self.split}-*.bin"):  # of an earlier, longer set
            old.unlink()
        for index in range(len(self.files)):
            self.path(index, ".tmp").rename(self.path(index))
        tokens = sum(tokens for _, tokens in self.files)
        return {"files": self.files, "tokens": tokens,
                "documents": self.documents, "bytes": self.bytes}


def encode_batch(batch):
    """[(split, text)] -> {split: (ids, documents, bytes of text)}, in a worker."""
    entries = {}
    for split in SPLITS:
        texts = [text for side, text in batch if side == split]
        if texts:
            ids = encode_batch.tokenizer.encode_corpus(texts)
            entries[split] = ids, len(texts), sum(len(text.encode()) for text in texts)
    return entries


def give_tokenizer(tokenizer):
    encode_batch.tokenizer = tokenizer


def write_shards(folder, documents, tokenizer, workers=2, **more):
    """Encodes (split, text) pairs with `workers` processes into shards under `folder`. The
    tokenizer must pickle. shards.json comes last, so its presence means that they are whole.
    Returns what it holds. Memory holds a few batches, whatever the corpus."""
    writers = {split: ShardWriter(folder, split) for split in SPLITS}
    jobs = batches(documents, length=lambda document: len(document[1]))
    for _, entries in in_order(encode_batch, jobs, workers, give_tokenizer, (tokenizer,)):
        for split, entry in entries.items():
            writers[split].add(*entry)
    path = Path(folder) / "shards.json"
    path.unlink(missing_ok=True)
    entries = {split: writer.close() for split, writer in writers.items()}
    description = {"dtype": tokenizer.dtype.__name__, **entries, **more}
    run.write_json(path, description)
    return description


# ---- reading
class Shards:
    """The files of one split as one row of ids, read where asked: shards[a:b] -> numpy int64."""

    def __init__(self, arrays):
        self.arrays = arrays
        self.ends = np.cumsum([len(array) for array in arrays])

    def __len__(self):
        return int(self.ends[-1]) if len(self.arrays) else 0

    def __getitem__(self, span):
        start, stop, _ = span.indices(len(self))
        found = [np.zeros(0, np.int64)]
        while start < stop:
            index = int(np.searchsorted(self.ends, start, side="right"))
            first = int(self.ends[index]) - len(self.arrays[index])
            end = min(stop, int(self.ends[index]))
            found.append(self.arrays[index][start - first : end - first])
            start = end
        return np.concatenate(found, dtype=np.int64)


def load_shards(folder, split="train"):
    """The Shards of one split. Raises run.UserError where they are missing or cut short."""
    path = Path(folder) / "shards.json"
    description = run.read_json(path, "train_pretrain.py")
    dtype = np.dtype(description["dtype"])
    arrays = []
    for name, tokens in description[split]["files"]:
        file = path.with_name(name)
        if not file.is_file() or file.stat().st_size != tokens * dtype.itemsize:
            raise run.UserError(f"{file} is missing or cut short: delete {path} and run "
                                "`python train_pretrain.py` again")
        arrays.append(np.memmap(file, dtype, mode="r"))
    return Shards(arrays)


def too_short(tokens, T):
    return run.UserError(f"the text has only {tokens} tokens, a row needs {T + 2}: give more text "
                         "or a smaller --block-size")


def need_a_row(texts, tokenizer, T):
    """Raises UserError where all texts together are shorter than a row; reads no more of them than
    it must, and so before the files of an earlier run are replaced."""
    tokens = 0
    for text in texts:
        tokens += len(tokenizer.encode_corpus([text]))
        if tokens > T + 1:
            return
    raise too_short(tokens, T)


def sample_rows(shards, B, T, generator):
    """B windows of T+1 tokens: (B, T+1) int64. The generator (CPU) alone decides where."""
    if len(shards) <= T + 1:
        raise too_short(len(shards), T)
    # exercise: draw where each row begins, the first and the last place too
    starts = torch.randint(len(shards) - T, (B,), generator=generator).tolist()
    rows = [shards[start : start + T + 1] for start in starts]
    return torch.from_numpy(np.stack(rows))  # (B, T+1)
