"""What people asked, answered and ranked: what is read from files, what is said of a bad line."""
import gzip
import json

import pytest

import train_ppo
import train_rm
import train_sft
from data import dialogues
from run import UserError

PAIR = {"prompt": "Hi?", "response": "Hello."}
RANKING = {"prompt": "Hi?", "answers": ["Hello.", "No."], "ranks": [1, 2]}


@pytest.fixture
def file(tmp_path):
    """A file with these lines; what is no text is written as JSON."""
    def write(*lines, encoding="utf-8", name="mine.jsonl"):
        path = tmp_path / name
        texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)
                 for line in lines]
        path.write_text("".join(text + "\n" for text in texts), encoding=encoding)
        return path
    return write


def test_demonstrations_rankings_and_prompts_are_read_in_order(file):
    other = PAIR | {"prompt": "Who?"}
    assert dialogues.read_dialogues([file(PAIR, other)]) == [
        [("Hi?", "Hello.")], [("Who?", "Hello.")]]
    assert dialogues.read_rankings([file(RANKING)]) == [RANKING]
    assert dialogues.read_prompts([file(" one ", "two", name="mine.txt")]) == ["one", "two"]


def test_no_files_are_no_demonstrations_and_no_prompts(capsys):
    assert dialogues.read_dialogues(()) == dialogues.read_prompts(()) == []
    assert dialogues.hold_out([], 0.1, str) == ([], []) and capsys.readouterr().out == ""


def test_several_files_are_read_one_after_the_other_and_a_folder_s_in_order(file, tmp_path):
    paths = [file("one", name="b.txt"), str(file("two", name="a.txt"))]
    assert dialogues.read_prompts(paths) == ["one", "two"]
    file("no text of ours", name="a.md")
    assert dialogues.read_prompts([tmp_path]) == ["two", "one"]
    assert dialogues.read_prompts([str(tmp_path / "?.txt")]) == ["two", "one"]


def test_an_empty_file_beside_others_is_no_mistake_but_nothing_but_empty_ones_is(file, tmp_path):
    (tmp_path / "empty").touch()
    assert dialogues.read_prompts([tmp_path / "empty", file("one", name="x")]) == ["one"]
    with pytest.raises(UserError, match="empty: nothing in there"):
        dialogues.read_prompts([tmp_path / "empty", tmp_path / "empty"])


def test_a_bad_byte_costs_one_letter(tmp_path):
    (tmp_path / "prompts").write_bytes("a café, naïve\n".encode() + b"two\xff, three\n")
    assert dialogues.read_prompts([tmp_path / "prompts"]) == ["a café, naïve", "two\ufffd, three"]


def test_letters_of_windows_are_read_and_a_sign_for_a_lost_one_stays_what_it_is(tmp_path):
    (tmp_path / "prompts").write_bytes("Où est le café ?\nLà-bas\n".encode("cp1252"))
    assert dialogues.read_prompts([tmp_path / "prompts"]) == ["Où est le café ?", "Là-bas"]
    (tmp_path / "prompts").write_text("lost: \ufffd\n", encoding="utf-8")
    assert dialogues.read_prompts([tmp_path / "prompts"]) == ["lost: \ufffd"]
    (tmp_path / "prompts").write_bytes("Утром мы пошли на рынок".encode("cp1251"))
    with pytest.raises(UserError, match="prompts is not text: give .*UTF-8"):
        dialogues.read_prompts([tmp_path / "prompts"])


def test_ranks_need_not_be_whole_numbers(file):
    halves = RANKING | {"ranks": [1.5, 2]}
    assert dialogues.read_rankings([file(halves)]) == [halves]


def test_blank_lines_windows_ends_and_a_byte_order_mark_do_not_matter(file):
    assert dialogues.read_dialogues([file("", PAIR, "  ", encoding="utf-8-sig")]) == [
        [("Hi?", "Hello.")]]
    path = file(name="prompts")
    path.write_bytes(b"\xef\xbb\xbfone\r\n\r\ntwo\r\n")
    assert dialogues.read_prompts([path]) == ["one", "two"]


@pytest.mark.parametrize("mark", ["\u2028", "\u0085", "\x0c"])
def test_what_other_programs_take_for_a_line_end_stays_in_its_string(file, mark):
    prompt = f"Hi{mark}you?"
    assert dialogues.read_prompts([file(prompt, name="x.txt")]) == [prompt]
    assert dialogues.read_rankings([file(RANKING | {"prompt": prompt})])[0]["prompt"] == prompt


def test_half_a_character_becomes_the_replacement_character(file):
    line = r'{"prompt": "half: \ud83d", "response": "a"}'
    assert dialogues.read_dialogues([file(line)]) == [[("half: \N{REPLACEMENT CHARACTER}", "a")]]


# ---- each form, as common tools write it
USER, BOT = ({"role": role, "content": text} for role, text in (("user", "Hi?"),
                                                                ("assistant", "Hello.")))
MORE, BYE = {"role": "user", "content": "And now?"}, {"role": "assistant", "content": "Bye."}
SYSTEM = {"role": "system", "content": "Be short."}
HH = "\n\nHuman: Hi?\n\nAssistant: Hello.\n\nHuman: And now?\n\nAssistant:"


@pytest.mark.parametrize("row, turns, form", [
    (PAIR, [("Hi?", "Hello.")], "prompt and response"),
    ({"instruction": "Add.", "input": "1 and 2", "output": "3"}, [("Add.\n1 and 2", "3")],
     "Alpaca"),
    ({"instruction": "Hi?", "input": "", "output": "Hello."}, [("Hi?", "Hello.")], "Alpaca"),
    ({"instruction": "Hi?", "input": None, "output": "Hello.", "text": "x"}, [("Hi?", "Hello.")],
     "Alpaca"),
    ({"messages": [USER, BOT]}, [("Hi?", "Hello.")], "messages"),
    ({"messages": [SYSTEM, USER, BOT, MORE, BYE], "id": 7},
     [("Be short.\n\nHi?", "Hello."), ("And now?", "Bye.")],
     "messages (system text put before the first question)"),
    ({"id": "a1", "conversations": [{"from": "human", "value": "Hi?"},
                                    {"from": "gpt", "value": " Hello. "}]},
     [("Hi?", "Hello.")], "ShareGPT"),
])
def test_a_dialogue_is_read_in_each_form(file, capsys, row, turns, form):
    assert dialogues.read_dialogues([file(row)]) == [turns]
    assert capsys.readouterr().out.endswith(f"mine.jsonl: 1 rows, 1 {form}\n")


@pytest.mark.parametrize("row, prompt", [
    ({"prompt": "Hi?", "chosen": "Bye.", "rejected": "No."}, "Hi?"),
    ({"prompt": [USER, BOT, MORE], "chosen": [BYE], "rejected": [BYE | {"content": "No."}]},
     ["Hi?", "Hello.", "And now?"]),
    ({"prompt": [USER], "chosen": "Bye.", "rejected": "No."}, "Hi?"),
    ({"prompt": "Hi?", "chosen": [USER, BYE], "rejected": [USER, BYE | {"content": "No."}]}, "Hi?"),
    ({"chosen": [SYSTEM, USER, BYE], "rejected": [SYSTEM, USER, BYE | {"content": "No."}]},
     "Be short.\n\nHi?"),
    ({"chosen": HH + " Bye.", "rejected": HH + " No."}, ["Hi?", "Hello.", "And now?"]),
    ({"chosen": "\n\nHuman: Hi?\n\nAssistant: Bye.", "rejected":
      "\n\nHuman: Hi?\n\nAssistant: No."}, "Hi?"),
])
def test_two_answers_of_which_one_was_chosen_are_a_ranking(file, row, prompt):
    assert dialogues.read_rankings([file(row)]) == [
        {"prompt": prompt, "answers": ["Bye.", "No."], "ranks": [1, 2]}]


def test_a_ranking_keeps_all_that_it_holds_and_its_prompt_may_be_messages(file):
    row = RANKING | {"ended": [True, False], "labeler": "person"}
    assert dialogues.read_rankings([file(row)]) == [row]
    row |= {"prompt": [USER, BOT, MORE]}
    assert dialogues.read_rankings([file(row)])[0]["prompt"] == ["Hi?", "Hello.", "And now?"]


@pytest.mark.parametrize("row, prompt", [
    ({"prompt": " Hi? "}, "Hi?"), (PAIR, "Hi?"), ("Hi?", "Hi?"),
    ({"messages": [USER]}, "Hi?"), ({"messages": [USER, BOT, MORE]}, ["Hi?", "Hello.", "And now?"]),
    ({"prompt": [USER]}, "Hi?"), ({"prompt": ["Hi?", "Hello.", "Why?"]}, ["Hi?", "Hello.", "Why?"]),
    ({"conversations": [{"from": "human", "value": "Hi?"}]}, "Hi?"),
])
def test_a_prompt_is_read_in_each_form(file, tmp_path, row, prompt):
    name = "mine.txt" if isinstance(row, str) else "mine.jsonl"
    assert dialogues.read_prompts([file(row, name=name)]) == [prompt]
    (tmp_path / "array.json").write_text(json.dumps([row, {"prompt": "Why?"}], indent=2))
    assert dialogues.read_prompts([tmp_path / "array.json"]) == [prompt, "Why?"]


def test_forms_may_be_mixed_and_what_is_of_no_use_is_counted(file, capsys):
    rows = [PAIR, {"messages": [USER, BOT | {"content": "Yes."}]}, PAIR, PAIR | {"response": " "},
            PAIR | {"prompt": "Why?"}, {"instruction": " ", "output": "a"}]
    assert len(dialogues.read_dialogues([file(*rows)])) == 3
    assert capsys.readouterr().out.endswith(
        ": 3 rows, 2 prompt and response, 1 messages; left out: 1 double, 2 empty\n")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_is_read_like_lines(tmp_path, pack, indent):
    path = tmp_path / "array.json"
    text = "\ufeff\n" + json.dumps([PAIR, PAIR | {"prompt": "Why?"}], indent=indent) + "\n"
    path.write_bytes(pack(text.encode()))
    assert len(dialogues.read_dialogues([path])) == 2


def test_a_bad_row_of_an_array_is_named_by_the_line_on_which_it_begins(tmp_path):
    (tmp_path / "array.json").write_text(json.dumps([PAIR, {"prompt": 3}], indent=1))
    with pytest.raises(UserError, match="array.json:6 has no .prompt."):
        dialogues.read_dialogues([tmp_path / "array.json"])


# ---- what is held out
def test_a_prompt_is_held_out_for_what_it_says_in_every_stage():
    rows = [f"question {i}" for i in range(400)]
    kept, heldout = dialogues.hold_out(rows, 0.1, lambda row: row)
    assert sorted(kept + heldout) == sorted(rows) and 20 < len(heldout) < 65
    again = dialogues.hold_out([[(row, "x")] for row in rows[::-1]], 0.1, lambda row: row[0][0])[1]
    assert {row[0][0] for row in again} == set(heldout)
    more = dialogues.hold_out([[row, "a", "b"] for row in rows], 0.1, lambda row: row)[1]
    assert [row[0] for row in more] == heldout


@pytest.mark.parametrize("share, count", [(0.01, 1), (0.5, None), (0.99, None)])
def test_of_few_rows_one_at_least_is_on_each_side(share, count):
    for n in range(2, 9):
        kept, heldout = dialogues.hold_out([str(i) for i in range(n)] * 2, share, lambda row: row)
        assert kept and heldout and not set(kept) & set(heldout)
        assert count is None or len(set(heldout)) == count


# ---- what a user can get wrong: one line with file and line, exit code 2, nothing written over
TWO_USERS = {"messages": [USER, MORE, BOT]}
BROKEN = [
    # SFT
    (train_sft, '{"prompt": "a", "response": "b"', ":2 is not JSON"),
    (train_sft, "not json", ":2 is not JSON"),
    (train_sft, "[" * 100_000, ":2 is not JSON"),
    (train_sft, PAIR | {"response": 3}, ':2 has no "response"'),
    (train_sft, PAIR | {"prompt": None}, ':2 has no "prompt"'),
    (train_sft, {"prompt": "a"}, ':2 has no "response"'),
    (train_sft, "null", ":2 is no JSON object"),
    (train_sft, "[1]", ":2 is no JSON object"),
    (train_sft, {"text": "a"}, ':2 has no "prompt"'),
    (train_sft, {"instruction": "a", "input": 3, "output": "b"}, ':2 has no "input"'),
    (train_sft, {"instruction": "a", "input": "b"}, ':2 has no "output"'),
    (train_sft, {"messages": "Hi?"}, ":2 has messages that are no list"),
    (train_sft, {"messages": []}, ":2 has no answer"),
    (train_sft, {"messages": ["Hi?", "Hello."]}, ":2 has a message that is no JSON object"),
    (train_sft, {"messages": [USER, BOT | {"role": "tool"}]}, ':2 has the role "tool"'),
    (train_sft, {"messages": [USER, BOT | {"role": ["user"]}]}, ':2 has the role ["user"]'),
    (train_sft, {"messages": [USER, BOT | {"content": None}]}, ":2 has no text in message 2"),
    (train_sft, TWO_USERS, ":2 has message 2 by the user, where the assistant's turn is"),
    (train_sft, {"messages": [BOT, USER]}, ":2 has message 1 by the assistant"),
    (train_sft, {"messages": [USER]}, ":2 has no answer at its end"),
    (train_sft, {"messages": [USER, BOT, SYSTEM]}, ":2 has message 3 by the system"),
    (train_sft, {"conversations": [{"from": "human", "text": "Hi?"}]}, ":2 has no text in message"),
    (train_sft, PAIR | {"response": "a<|endoftext|>b"}, ":2 holds <|endoftext|>"),
    (train_sft, {"messages": [USER | {"content": "<|user|>Hi?"}, BOT]}, ":2 holds <|user|>"),
    # RM
    (train_rm, RANKING | {"ranks": [1]}, ":2 is no ranking"),
    (train_rm, RANKING | {"ranks": [1, "2"]}, ":2 has a rank that is no number"),
    (train_rm, '{"prompt": "a", "answers": ["b", "c"], "ranks": [1, NaN]}',
     ":2 has a rank that is no number"),
    (train_rm, RANKING | {"ranks": [1, True]}, ":2 has a rank that is no number"),
    (train_rm, RANKING | {"ranks": [1, 10**400]}, ":2 has a rank that is no number"),
    (train_rm, RANKING | {"answers": ["b"], "ranks": [1]}, ":2 is no ranking"),
    (train_rm, RANKING | {"answers": ["b", 3]}, ":2 is no ranking"),
    (train_rm, RANKING | {"answers": "ab"}, ":2 is no ranking"),
    (train_rm, RANKING | {"ended": 3}, ":2 is no ranking"),
    (train_rm, RANKING | {"rubric": 7}, ":2 is no ranking"),
    (train_rm, RANKING | {"rubric": [1, "x"]}, ":2 has a rank that is no number"),
    (train_rm, RANKING | {"ended": [True]}, ":2 is no ranking"),
    (train_rm, RANKING | {"prompt": []}, ":2 ends with an answer, or is empty"),
    (train_rm, RANKING | {"prompt": ["a", "b"]}, ":2 ends with an answer"),
    (train_rm, RANKING | {"prompt": ["a", "b", 3]}, ':2 has no "prompt"'),
    (train_rm, {"prompt": "a", "chosen": "b"}, ":2 has no \"rejected\""),
    (train_rm, {"chosen": "b", "rejected": "c"}, ':2 has no "prompt"'),
    (train_rm, {"chosen": [USER], "rejected": [USER]}, ":2 has no answer at its end"),
    (train_rm, {"chosen": HH + " a\n\nHuman: b\n\nHuman: c", "rejected": HH}, "by the user, where"),
    (train_rm, "null", ':2 has no "prompt"'),
    # PPO
    (train_ppo, {"prompt": 3}, ':2 has no "prompt"'),
    (train_ppo, {"question": "a"}, ':2 has no "prompt"'),
    (train_ppo, {"messages": [USER, BOT]}, ":2 ends with an answer"),
    (train_ppo, {"messages": []}, ":2 ends with an answer, or is empty"),
    (train_ppo, {"prompt": "<|assistant|>"}, ":2 holds <|assistant|>"),
    (train_ppo, '{"prompt": "a"', ":2 is not JSON"),
    (train_ppo, "3", ":2 is no JSON object"),
]
GOOD = {train_sft: PAIR, train_rm: RANKING, train_ppo: {"prompt": "Hi?"}}


@pytest.mark.parametrize("stage, line, words", BROKEN)
def test_a_bad_row_is_named_with_its_line(file, capsys, stage, line, words):
    read = {train_sft: dialogues.read_dialogues, train_rm: dialogues.read_rankings,
            train_ppo: dialogues.read_prompts}[stage]
    with pytest.raises(UserError) as error:
        read([file(GOOD[stage], line)])
    assert f"mine.jsonl{words}" in str(error.value) or words in str(error.value)
    assert "a row is {" in str(error.value) or "a row is a line" in str(error.value)


@pytest.mark.parametrize("row, words", [
    ({"prompt": "a", "chosen": "b", "rejected": "b "}, ":1 is without a preference, and no row"),
    ({"chosen": HH + " a", "rejected": HH.replace("now", "then") + " b"},
     ":1 is without a common beginning"),
    ({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: b"},
     ":1 is without a common beginning"),
    (RANKING | {"prompt": " "}, ":1 is empty"),
    (RANKING | {"ranks": [2, 2]}, ":1 is without a preference, and no row"),
    (RANKING | {"answers": ["a", "a"]}, ":1 is without a preference"),
    (RANKING | {"answers": ["a", "b", "a"], "ranks": [1, 2, 3]}, ":1 is without a preference"),
])
def test_rankings_that_say_nothing_are_left_out_and_where_no_other_is_left_named(file, row, words):
    assert dialogues.read_rankings([file(row, RANKING)]) == [RANKING]
    with pytest.raises(UserError, match="mine.jsonl" + words):
        dialogues.read_rankings([file(row)])


@pytest.mark.parametrize("content, words", [
    (b"", "nothing in there"),
    (b" \n\n", "nothing in there"),
    (b"[]", "nothing in there"),
    (b'[{"prompt": "a", "response": "b"}', "opens an array that is not closed"),
    (gzip.compress(b"one\n" * 99)[:20], "cannot be unpacked"),
    (b"\x1f\x8bno gzip at all", "cannot be unpacked"),
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is not text"),
    (bytes(range(128, 256)) * 9, "is not text"),
    ("so " * 99, "none of 1 rows fits"),
    (None, "not found: --data takes files, folders and globs"),
    ("a folder", "holds no file that ends in .json"),
])
@pytest.mark.parametrize("stage", [train_sft, train_rm, train_ppo])
def test_a_bad_file_ends_in_one_line_and_nothing_is_written_over(
        small_out, tmp_path, mistake, stage, content, words):
    path = tmp_path / "mine.json"
    if content == "a folder":
        path.mkdir()
    elif content is not None:
        rows = {train_sft: PAIR | {"response": content}, train_ppo: {"prompt": content},
                train_rm: RANKING | {"answers": ["Hi.", content]}}
        if isinstance(content, str):
            content = json.dumps(rows[stage]).encode()
        path.write_bytes(content)
    before = {file: file.read_bytes() for file in small_out.iterdir()}
    said = mistake(stage, "--quick", "--out", small_out, "--data", path)
    assert words in said and ("--data: " in said or "mine.json" in said)
    assert {file: file.read_bytes() for file in small_out.iterdir()} == before


def test_where_all_rows_ask_the_same_they_train_and_judge_and_that_is_said(capsys):
    rows = [[("Hi?", "Hello.")], [("Hi?", "Hey.")]]
    assert dialogues.hold_out(rows, 0.1, lambda turns: turns[0][0]) == (rows, rows)
    assert "all rows ask the same, so the rows to train on judge" in capsys.readouterr().out


@pytest.mark.parametrize("share", [0, 1, 1.5])
def test_a_share_that_leaves_nothing_on_one_side_is_refused(small_out, mistake, file, share):
    said = mistake(train_sft, "--quick", "--out", small_out, "--data", file(PAIR),
                   "--heldout-share", share)
    assert "--heldout-share" in said and "between 0 and 1" in said


# ---- files in other clothes, rows that do not fit
@pytest.mark.parametrize("content", [
    "one\ntwo\n".encode("utf-16"),
    "\ufeffone\ntwo\n".encode("utf-16-be"),
    b"\xef\xbb\xbfone\r\ntwo",
    gzip.compress(b"one\n\ntwo\n"),
    b'{"prompt": "one"}\n  {"prompt": " two "}\n',
])
def test_prompts_are_read_in_utf_16_with_a_mark_packed_or_as_json(tmp_path, content):
    (tmp_path / "prompts").write_bytes(content)
    assert dialogues.read_prompts([tmp_path / "prompts"]) == ["one", "two"]


def test_a_packed_file_that_is_cut_short_is_said_in_one_line(tmp_path):
    (tmp_path / "prompts.gz").write_bytes(gzip.compress(b"one\n" * 99)[:20])
    with pytest.raises(UserError, match="prompts.gz cannot be unpacked"):
        dialogues.read_prompts([tmp_path / "prompts.gz"])


def test_half_a_character_in_json_becomes_a_replacement(tmp_path):
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "a\\ud83d", "response": "\\ud83d\\ude00"}')
    assert dialogues.read_dialogues([tmp_path / "pairs.jsonl"]) == [[("a\ufffd", "\U0001f600")]]


def test_of_rows_that_do_not_fit_the_first_is_named_with_its_line(file, capsys):
    path = file("a", "", "b b", "a", "c c c", name="mine.txt")
    assert dialogues.those_that_fit(dialogues.read_prompts([path]), 2, len) == ["a"]
    assert f"left out, the first at {path}:3" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"none of 3 rows .*mine.txt:1"):
        dialogues.those_that_fit(dialogues.read_prompts([path]), 0, len)
    path = file(PAIR)
    with pytest.raises(UserError, match="mine.jsonl:1"):
        dialogues.those_that_fit(dialogues.read_dialogues([path]), 0, len)


def test_rows_that_do_not_fit_are_left_out_and_counted(capsys):
    assert dialogues.those_that_fit(["a", "bbb", "cc"], 2, len) == ["a", "cc"]
    assert "1 of 3 rows do not fit into 2 tokens" in capsys.readouterr().out
    with pytest.raises(UserError, match="none of 1 rows fits into 2 tokens"):
        dialogues.those_that_fit(["bbb"], 2, len)
    assert dialogues.those_that_fit([], 2, len) == []
