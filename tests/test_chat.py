"""Talking to a model: what it is asked, what is told of its answer, what stays of a dialogue."""
import io
import sys
from types import SimpleNamespace

import pytest
import torch

import model as M
from bpe import train_bpe
from run import chat

TOKENIZER = train_bpe(["abc"], 259, M.SPECIAL_TOKENS)       # a token is a byte
STOP, USER = TOKENIZER.special_tokens[M.END], TOKENIZER.special_tokens[M.USER]


class Echo:
    """A model that gives a prompt back, `first` before it, and ends unless that ends in dots."""
    config = M.GPTConfig(block_size=64)

    def __init__(self, first=b""):
        self.first, self.asked, self.options = list(first), [], []

    def answer(self, row, n):
        if USER in row:                         # the last question of a dialogue
            row = row[len(row) - row[::-1].index(USER) :]
        text = [token for token in row if token not in TOKENIZER.special_tokens.values()]
        ends = [] if TOKENIZER.decode(text).endswith("...") else [STOP]
        return [*self.first, *text, *ends][:n]

    def generate(self, rows, max_new_tokens, temperature=1.0, stop=None, generator=None):
        self.asked += rows
        self.options.append((temperature, stop, generator))
        tokens = torch.full((len(rows), max(map(len, rows)) + max_new_tokens), ord("*"))
        mask = torch.zeros(len(rows), tokens.shape[1] - 1)
        for line, row in enumerate(rows):
            text = [*row, *self.answer(row, max_new_tokens)]
            tokens[line, : len(text)] = torch.tensor(text)
            mask[line, len(row) - 1 : len(text) - 1] = 1
        return M.Generation(tokens, mask, mask)

    def stream(self, rows, max_new_tokens, pick, stop):
        self.asked += rows
        for token in self.answer(rows[0], max_new_tokens):
            yield torch.tensor([token]), torch.zeros(1), torch.ones(1, dtype=torch.bool)


# ------------------------------------------------------------------------ many questions at once
def test_each_question_gets_the_answer_to_itself_and_whether_it_ended():
    questions = [f"question {i}" for i in range(600)] + ["open...", ""]
    answers = chat.ask(Echo(), TOKENIZER, questions)
    assert answers[:600] == [(question, True) for question in questions[:600]]
    assert answers[600:] == [("open...", False), ("", True)]


def test_an_answer_is_as_long_as_it_may_be_and_no_longer():
    answers = chat.ask(Echo(b" "), TOKENIZER, ["ab", "abcdef"], max_new_tokens=4)
    assert answers == [("ab", True), ("abc", False)]


@pytest.mark.parametrize("in_template", [True, False])
def test_a_chat_is_asked_in_the_template_and_a_base_model_with_the_bare_question(in_template):
    echo, generator = Echo(), torch.Generator()
    chat.ask(echo, TOKENIZER, ["ab"], 8, 0.7, generator, chat=in_template)
    assert echo.asked == [M.encode_prompt(TOKENIZER, "ab", in_template)]
    assert echo.options == [(0.7, STOP, generator)]


def test_a_base_model_goes_on_with_each_prompt_by_n_tokens():
    echo, generator = Echo(b"> "), torch.Generator()
    prompts = [f"{i} and so on..." for i in range(100)] + ["", "longer than the others..."]
    told = chat.go_on(echo, TOKENIZER, prompts, 5, 0.7, generator)
    assert told[0] == "> 0 a" and told[99] == "> 99 " and told[101] == "> lon"
    assert echo.asked[:2] == [M.encode_prompt(TOKENIZER, text, chat=False) for text in prompts[:2]]
    assert set(echo.options) == {(0.7, None, generator)}


# ------------------------------------------------------------------------------- one dialogue
def talker(model, **options):
    talker = object.__new__(chat.Talker)
    talker.model, talker.tokenizer, talker.chat = model, TOKENIZER, True
    options = {"max_new_tokens": 40, "temperature": 0, "top_k": None, "top_p": None} | options
    talker.options, talker.turns = SimpleNamespace(**options), []
    talker.generator, talker.examples = torch.Generator().manual_seed(0), ["one?", "two?"]
    return talker


def test_the_chat_keeps_the_last_turn_as_long_as_a_short_answer_fits():
    turns = [("old", "x"), ("last one", "y" * 10)]
    ours = talker(Echo())
    ours.turns = list(turns)
    assert ours.prompt_ids("and now?") == M.encode_chat(TOKENIZER, [turns[1], ("and now?", None)])
    alone = M.encode_chat(TOKENIZER, [("z" * 40, None)])    # nothing else fits beside that
    assert ours.prompt_ids("z" * 40) == alone


@pytest.mark.parametrize("kept, answer", [(3, 40), (2, 40), (1, chat.SHORT)])
def test_the_oldest_turns_go_and_only_where_the_answer_would_not_fit(kept, answer):
    turns = [("first", "a"), ("second", "b"), ("third", "c")]
    told = M.encode_chat(TOKENIZER, [*turns[3 - kept :], ("now", None)])
    for context, still in ((len(told) + answer, kept), (len(told) + answer - 1, kept - 1)):
        ours = talker(Echo())
        ours.model.config, ours.turns = M.GPTConfig(block_size=context), list(turns)
        wanted = M.encode_chat(TOKENIZER, [*turns[3 - still :], ("now", None)])
        assert ours.prompt_ids("now") == wanted


def test_a_letter_of_two_tokens_waits_for_its_second_half_and_the_end_is_not_told():
    ours = talker(Echo())
    bits = list(ours.say("né!"))
    assert "".join(bits) == ours.answer("né!") == "né!"
    assert not any("\N{REPLACEMENT CHARACTER}" in bit or M.END in bit for bit in bits)
    assert [bit for bit in bits if bit] == ["n", "é", "!"]


def test_an_answer_that_is_cut_short_is_told_to_its_last_byte():
    assert talker(Echo(), max_new_tokens=2).answer("né!") == "n\N{REPLACEMENT CHARACTER}"


class Flat(Echo):
    """Any of 50 letters may come next; the last is a little likelier than the others."""

    def stream(self, rows, max_new_tokens, pick, stop):
        logits = torch.full((1, 259), -1e9)
        logits[0, 50:100], logits[0, 99] = 0.0, 0.1
        for _ in range(max_new_tokens):
            yield pick(logits), torch.zeros(1), torch.ones(1, dtype=torch.bool)


def test_the_answer_is_sampled_as_the_options_say():
    likeliest = chr(99) * 40
    for greedy in ({"temperature": 0}, {"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-3}):
        assert talker(Flat(), **{"temperature": 1.0} | greedy).answer("x") == likeliest
    ours, again = (talker(Flat(), temperature=1.0, max_new_tokens=60) for _ in range(2))
    answers = ours.answer("x"), ours.answer("x")
    assert len(answers[0]) == 60 and len(set(answers[0])) > 10 and answers[0] != answers[1]
    assert again.answer("x") == answers[0]      # by its own generator


# ------------------------------------------------------------------------------- a terminal
@pytest.fixture
def types(monkeypatch):
    """Lines that a person types before Ctrl-D."""
    def typed(*lines):
        lines = iter(lines)

        def answer(prompt):
            try:
                return next(lines)
            except StopIteration:
                raise EOFError from None
        monkeypatch.setattr("builtins.input", answer)
    return typed


def test_a_dialogue_keeps_its_turns_until_an_empty_line_and_ends_with_ctrl_d(types, capsys):
    types("one", "two", " ", "three")
    ours = talker(Echo(), max_new_tokens=9)
    chat.chat(ours, "ppo.pt")
    dialogues = [[("one", None)], [("one", "one"), ("two", None)], [("three", None)]]
    assert ours.model.asked == [M.encode_chat(TOKENIZER, turns) for turns in dialogues]
    printed = capsys.readouterr().out
    assert "ppo.pt: ask, for example: one?  two?" in printed and "\none\ntwo\nthree\n" in printed


def test_ctrl_c_ends_an_answer_and_what_was_said_of_it_stays(types, capsys):
    class Interrupted(Echo):
        def stream(self, rows, *more):
            for place, step in enumerate(super().stream(rows, *more)):
                if place == 2 and len(self.asked) == 1:
                    raise KeyboardInterrupt
                yield step
    types("abcd", "e")
    ours = talker(Interrupted())
    chat.chat(ours, "ppo.pt")
    assert ours.turns == [("abcd", "ab"), ("e", "e")]
    assert "ab ...\ne\n" in capsys.readouterr().out


def test_the_filter_gives_a_line_for_a_line_and_each_is_a_dialogue_of_its_own(
        monkeypatch, capsys):
    lines = io.TextIOWrapper(io.BytesIO("a  b \n\n\nc".encode()), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", lines)
    ours = talker(Echo("1\n2 ".encode()))
    chat.answer_lines(ours)
    assert capsys.readouterr().out == "1 2 a b\n\n\n1 2 c\n"
    assert ours.model.asked == [M.encode_prompt(TOKENIZER, text) for text in ("a  b", "c")]


# ------------------------------------------------------------------------------- a checkpoint
@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Checkpoints of one small, fresh model: the stages pretrain and sft, and one that scores."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    gpt = M.GPT(M.GPTConfig(TOKENIZER.n_vocab, block_size=64, n_layer=1, n_head=2, n_embd=16))
    TOKENIZER.save(folder / "tokenizer.json")
    M.save_checkpoint(folder / "pretrain.pt", gpt, TOKENIZER, {"stage": "pretrain"})
    M.save_checkpoint(folder / "sft.pt", gpt, TOKENIZER, {"stage": "sft", "examples": ["mine?"]})
    M.save_checkpoint(folder / "rm.pt", M.ScalarGPT(gpt), TOKENIZER, {"stage": "rm"})
    return folder


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["model.py", *map(str, arguments)])


def said(monkeypatch, capsys, *arguments):
    command(monkeypatch, *arguments)
    chat.main()
    return capsys.readouterr().out


def test_a_base_model_goes_on_with_text_and_the_later_stages_answer(folder, monkeypatch):
    for name, in_template in (("pretrain.pt", False), ("sft.pt", True)):
        command(monkeypatch, folder / name)
        ours = chat.Talker(folder / name, chat.read_options())
        assert ours.prompt_ids("Hi?") == M.encode_prompt(TOKENIZER, "Hi?", in_template)
        assert len(ours.examples) == 3 or ours.examples == ["mine?"]


def test_a_prompt_on_the_command_line_is_answered_once_and_the_seed_moves_the_answer(
        folder, monkeypatch, capsys):
    sampled = [folder / "sft.pt", "Hi?", "--temperature", "1", "--max-new-tokens", "12"]
    one, again, other = (said(monkeypatch, capsys, *sampled, "--seed", seed) for seed in (1, 1, 2))
    assert one == again != other
    assert len(said(monkeypatch, capsys, *sampled[:4], "--max-new-tokens", "2").encode()) < 9
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Hi?\n")))
    greedy = folder / "sft.pt", "--temperature", "0"
    assert said(monkeypatch, capsys, *greedy).count("\n") == 1      # no banner, one line for one


@pytest.mark.parametrize("flag, value", [
    ("--temperature", "-0.1"), ("--top-k", "0"), ("--top-p", "0"), ("--top-p", "1.1"),
    ("--max-new-tokens", "0")])
def test_a_flag_out_of_range_is_one_line(mistake, folder, flag, value):
    assert f"{flag} is out of range" in mistake(chat, folder / "sft.pt", "Hi?", flag, value)


def test_a_model_that_scores_does_not_chat(mistake, folder):
    assert "it does not write any" in mistake(chat, folder / "rm.pt", "Hi?")
