"""Talking to a model: many questions at once, for the stages; a chat at a terminal, a filter in a
pipe.

run   python model.py out/ppo.pt        (`--help` lists the flags)
"""
import argparse
import contextlib
import inspect
import sys
from functools import partial

import torch

import run
from data import world
from model import __doc__ as model_doc
from model import END, ScalarGPT, choose, encode_chat, encode_prompt, load_checkpoint


def ask(model, tokenizer, questions, max_new_tokens=24, temperature=0.0, generator=None, chat=True):
    """Each question on its own -> [(answer, ended)]; ended: the model itself closed the answer.
    chat=False asks a base model, which goes on with the bare question."""
    end, answers = tokenizer.special_tokens[END], []
    for start in range(0, len(questions), 512):
        rows = [encode_prompt(tokenizer, q, chat) for q in questions[start : start + 512]]
        tokens, mask, _ = model.generate(rows, max_new_tokens, temperature, stop=end,
                                         generator=generator)
        for row, chosen in zip(tokens[:, 1:], mask.bool()):
            ids = row[chosen].tolist()
            text = tokenizer.decode([i for i in ids if i != end])
            answers.append((text.strip(), ids[-1] == end))
    return answers


def go_on(model, tokenizer, prompts, n, temperature=0.0, generator=None):
    """The n tokens with which a base model continues each prompt, as text; every prompt stands at
    the beginning of a document."""
    texts = []
    rows = [encode_prompt(tokenizer, prompt, chat=False) for prompt in prompts]
    for first in range(0, len(rows), 64):
        batch = rows[first : first + 64]
        tokens = model.generate(batch, n, temperature, generator=generator).tokens.tolist()
        for ids, row in zip(tokens, batch):
            texts.append(tokenizer.decode(ids[len(row) : len(row) + n]))
    return texts


# ---------------------------------------------------------------------------------------- the chat
SHORT = 16      # tokens: an answer that is worth keeping the turn before


class Talker:
    """A checkpoint that answers: in the chat template, or (a base model) by going on with text."""

    def __init__(self, checkpoint, options):
        device = run.pick_device(options.device)
        self.model, self.tokenizer, meta = load_checkpoint(checkpoint, device)
        if isinstance(self.model, ScalarGPT):
            raise run.UserError("this checkpoint scores answers, it does not write any: talk to "
                                "pretrain.pt, sft.pt or ppo.pt")
        self.options, self.chat = options, meta.get("stage") != "pretrain"
        self.examples = meta.get("examples") or world.RECIPE[:3]
        self.generator = torch.Generator(device).manual_seed(options.seed)
        self.turns = []

    def prompt_ids(self, prompt):
        """The dialogue so far and the new prompt; the oldest turns go where the context is full.
        The last one stays as long as it leaves room for a short answer."""
        if not self.chat:
            return encode_prompt(self.tokenizer, prompt, chat=False)
        context = self.model.config.block_size
        while True:
            ids = encode_chat(self.tokenizer, [*self.turns, (prompt, None)])
            answer = SHORT if len(self.turns) == 1 else self.options.max_new_tokens
            if len(ids) + answer <= context or not self.turns:
                return ids
            self.turns.pop(0)

    def say(self, prompt):
        """The answer, bit by bit as it is sampled; a character split over two tokens waits for its
        second half."""
        options, stop = self.options, self.tokenizer.special_tokens[END]
        pick = partial(choose, temperature=options.temperature, top_k=options.top_k,
                       top_p=options.top_p, generator=self.generator)
        steps = self.model.stream([self.prompt_ids(prompt)], options.max_new_tokens, pick, stop)
        ids, told = [], ""
        for token, _, _ in steps:
            if int(token) != stop:
                ids.append(int(token))
            text = self.tokenizer.decode(ids)
            if not text.endswith("\N{REPLACEMENT CHARACTER}"):
                yield text[len(told):]
                told = text
        yield self.tokenizer.decode(ids)[len(told):]

    def answer(self, prompt):
        return "".join(self.say(prompt)).strip()


def chat(talker, name):
    """Until Ctrl-D, or Ctrl-C at the prompt; Ctrl-C in an answer ends that answer."""
    with contextlib.suppress(ImportError):
        import readline     # noqa: F401  arrow keys and history, where there is one
    if talker.chat:
        print(f"{name}: ask, for example: {'  '.join(talker.examples)}\n"
              "an empty line starts a new dialogue, Ctrl-D ends")
    else:
        print(f"{name}: a base model, it goes on with your text; Ctrl-D ends")
    while True:
        try:
            prompt = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            return print()
        if not prompt:
            talker.turns = []
            continue
        answer = ""
        try:
            for text in talker.say(prompt):
                print(text, end="", flush=True)
                answer += text
        except KeyboardInterrupt:
            print(" ...", end="")
        print()
        talker.turns.append((prompt, answer.strip()))


def answer_lines(talker):
    """A prompt a line in, an answer a line out; each line a dialogue of its own."""
    sys.stdin.reconfigure(errors="replace")
    for line in sys.stdin:
        answer = talker.answer(line.strip()) if line.strip() else ""
        print(" ".join(answer.split()), flush=True)


def read_options():
    parser = run.OneLineParser(prog="model.py", description=inspect.cleandoc(model_doc),
                               formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("checkpoint", help="out/pretrain.pt, out/sft.pt or out/ppo.pt")
    add("prompt", nargs="?",
        help="answer this once; without it: a chat at a terminal, a filter with a pipe on stdin")
    add("--temperature", type=float, default=0.0,
        help="0 (default): the likeliest token; 1: sample as trained")
    add("--top-k", type=int, help="sample among the k likeliest tokens only")
    add("--top-p", type=float,
        help="sample among the fewest tokens that hold this much probability")
    add("--max-new-tokens", type=int, default=40, help="the longest answer (default 40)")
    add("--seed", type=int, default=0, help="of the sampling")
    add("--device", default="auto", help="cpu, cuda, mps or auto")
    options = parser.parse_args()
    for name, fits in (("temperature", options.temperature >= 0),
                       ("top-k", options.top_k is None or options.top_k >= 1),
                       ("top-p", options.top_p is None or 0 < options.top_p <= 1),
                       ("max-new-tokens", options.max_new_tokens >= 1)):
        if not fits:
            parser.error(f"--{name} is out of range")
    return options


def main():
    options = read_options()
    talker = Talker(options.checkpoint, options)
    if options.prompt is not None:
        print(talker.answer(options.prompt))
    elif sys.stdin.isatty():
        chat(talker, options.checkpoint)
    else:
        answer_lines(talker)
