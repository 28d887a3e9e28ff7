"""The command line of bpe.py: trains a tokenizer on files, or shows the tokens of a text.

run   python bpe.py FILE... --vocab-size 1024        (`--help` lists the flags)
"""
import argparse
import os
import sys
import time

import run
from bpe import ASSISTANT, END, USER, Tokenizer, to_chars, train_bpe
from bpe import __doc__ as bpe_doc

def read_texts(paths):
    """Files -> str of about a million characters each; what is no UTF-8 becomes U+FFFD, much of it
    raises ValueError."""
    for path in paths:
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            while text := file.read(1 << 20):
                if text.count("\ufffd") + text.count("\0") > len(text) / 10:
                    raise ValueError(f"{path} is not text in UTF-8: give it as that")
                yield text + file.readline(1 << 16)


def painted(tokenizer, ids):
    """A text as its tokens: on a terminal coloured, elsewhere with bars between."""
    tokens = [tokenizer.decode_bytes([id]).decode(errors="backslashreplace") for id in ids]
    tokens = [token.replace("\n", "\\n") for token in tokens]
    if not sys.stdout.isatty():
        return "|".join(tokens)
    colors = (223, 158, 189, 225, 195)
    return "".join(f"\033[30;48;5;{colors[i % 5]}m{t}" for i, t in enumerate(tokens)) + "\033[0m"


def show_progress(line):
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def train_command(paths, vocab_size, out):
    if any(os.path.exists(out) and os.path.samefile(out, path) for path in paths):
        raise ValueError(f"--out {out} is one of the texts: give another name")
    if os.path.isdir(out) or not os.path.isdir(os.path.dirname(out) or "."):
        raise ValueError(f"--out {out}: a file in a folder that exists, please")
    start = time.perf_counter()
    specials = [END, USER, ASSISTANT]
    tokenizer = train_bpe(read_texts(paths), vocab_size, specials, report=show_progress)
    seconds = time.perf_counter() - start
    show_progress("")
    if not tokenizer.merges:
        raise ValueError(f"{' '.join(paths)}: nothing to learn, no two letters side by side")
    tokenizer.save(out)
    sample = next(read_texts(paths))
    per_token = len(sample.encode()) / len(tokenizer.encode_ordinary(sample))
    print("first merges (Ġ is a space, Ċ a line's end):",
          *(to_chars(a + b) for a, b in tokenizer.merges[:12]))
    print(f"{tokenizer.n_vocab} tokens in {seconds:.1f} s, {per_token:.2f} bytes a token -> {out}")
    print(painted(tokenizer, tokenizer.encode_ordinary(" ".join(sample.split())[:100])))


def command():
    parser = run.OneLineParser(prog="bpe.py", description=bpe_doc,
                               formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="+", help="text files; or one tokenizer.json and a text")
    parser.add_argument("--vocab-size", type=int, default=1024, help="tokens (default 1024)")
    parser.add_argument("--out", default="tokenizer.json", help="default tokenizer.json")
    args = parser.parse_args()
    one_text = len(args.input) == 2 and args.input[0].endswith(".json")
    try:
        if one_text and not os.path.exists(args.input[1]):
            tokenizer = Tokenizer.load(args.input[0])
            ids = tokenizer.encode_ordinary(args.input[1])
            print(painted(tokenizer, ids), f"\n{len(ids)} tokens:", *ids)
        else:
            train_command(args.input, args.vocab_size, args.out)
    except ValueError as error:
        raise run.UserError(error) from None


def main():
    run.main(command)
