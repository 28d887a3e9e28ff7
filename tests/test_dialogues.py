"""What people asked, answered and ranked: what is read from files, what is said of a bad line, what
a person may type."""
import gzip
import json

import pytest

from data import dialogues
from run import UserError, person

PAIR = {"prompt": "Hi?", "response": "Hello."}
RANKING = {"prompt": "Hi?", "answers": ["Hello.", "No."], "ranks": [1, 2]}


@pytest.fixture
def file(tmp_path):
    """A file with these lines; what is no text is written as JSON."""
    def write(*lines, encoding="utf-8"):
        path = tmp_path / "mine.jsonl"
        texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)
                 for line in lines]
        path.write_text("".join(text + "\n" for text in texts), encoding=encoding)
        return path
    return write


def test_demonstrations_rankings_and_prompts_are_read_in_order(file):
    other = PAIR | {"prompt": "Who?"}
    assert dialogues.read_pairs([file(PAIR, other)]) == [("Hi?", "Hello."), ("Who?", "Hello.")]
    assert dialogues.read_rankings([file(RANKING)]) == [RANKING]
    assert dialogues.read_prompts([file(" one ", "two")]) == ["one", "two"]


def test_no_files_are_no_demonstrations_and_no_prompts():
    assert dialogues.read_pairs(()) == dialogues.read_prompts(()) == []


def test_several_files_are_read_one_after_the_other(file):
    path = file("one")
    assert dialogues.read_prompts([path, str(path)]) == ["one", "one"]


def test_an_empty_file_beside_others_is_no_mistake_but_nothing_but_empty_ones_is(file, tmp_path):
    (tmp_path / "empty").touch()
    assert dialogues.read_prompts([tmp_path / "empty", file("one")]) == ["one"]
    with pytest.raises(UserError, match="no prompts in there"):
        dialogues.read_prompts([tmp_path / "empty", tmp_path / "empty"])


def test_a_bad_byte_costs_one_letter(tmp_path):
    (tmp_path / "prompts").write_bytes(b"a caf\xe9\ntwo\n")
    assert dialogues.read_prompts([tmp_path / "prompts"]) == ["a caf\ufffd", "two"]


@pytest.mark.parametrize("line", ['{"prompt": " "}', '{"prompt": 3}', '{"question": "a"}'])
def test_a_json_prompt_without_text_is_named_with_its_line(file, line):
    with pytest.raises(UserError, match='mine.jsonl:2 has no "prompt"'):
        dialogues.read_prompts([file("one", line)])


def test_ranks_need_not_be_whole_numbers(file):
    halves = RANKING | {"ranks": [1.5, 2]}
    assert dialogues.read_rankings([file(halves)]) == [halves]


def test_blank_lines_windows_ends_and_a_byte_order_mark_do_not_matter(file):
    assert dialogues.read_pairs([file("", PAIR, "  ", encoding="utf-8-sig")]) == [("Hi?", "Hello.")]
    path = file()
    path.write_bytes(b"\xef\xbb\xbfone\r\n\r\ntwo\r\n")
    assert dialogues.read_prompts([path]) == ["one", "two"]


@pytest.mark.parametrize("mark", ["\u2028", "\u0085", "\x0c"])
def test_what_other_programs_take_for_a_line_end_stays_in_its_string(file, mark):
    prompt = f"Hi{mark}you?"
    assert dialogues.read_prompts([file(prompt)]) == [prompt]
    assert dialogues.read_rankings([file(RANKING | {"prompt": prompt})])[0]["prompt"] == prompt


def test_half_a_character_becomes_the_replacement_character(file):
    line = r'{"prompt": "half: \ud83d", "response": "a"}'
    assert dialogues.read_pairs([file(line)]) == [("half: \N{REPLACEMENT CHARACTER}", "a")]


@pytest.mark.parametrize("line, words", [
    ("not json", "is not JSON"),
    ('{"prompt": "a"}', 'no "response"'),
    ('{"response": "a"}', 'no "prompt"'),
    ('{"prompt": "a", "response": " "}', 'no "response"'),
    ('{"prompt": 3, "response": "a"}', 'no "prompt"'),
    ("[1]", 'no "prompt"'),
    ("[" * 100_000, "is not JSON"),
])
def test_a_bad_demonstration_is_named_with_its_line(file, line, words):
    with pytest.raises(UserError, match=f"mine.jsonl:2 .*{words}.*each line needs"):
        dialogues.read_pairs([file(PAIR, line)])


@pytest.mark.parametrize("line", [
    "nonsense",
    '{"prompt": "a"}',
    '{"prompt": "a", "answers": ["b"], "ranks": [1]}',
    '{"prompt": "a", "answers": ["b", "c"], "ranks": [1]}',
    '{"prompt": "a", "answers": ["b", "c", "d"], "ranks": [1, 2]}',
    '{"prompt": "a", "answers": ["b", 3], "ranks": [1, 2]}',
    '{"prompt": "a", "answers": ["b", "c"], "ranks": [1, "2"]}',
    '{"prompt": 1, "answers": ["b", "c"], "ranks": [1, 2]}',
    '{"prompt": "a", "answers": "bc", "ranks": [1, 2]}',
    '{"prompt": [], "answers": ["b", "c"], "ranks": [1, 2]}',
    '{"prompt": ["a", "b"], "answers": ["b", "c"], "ranks": [1, 2]}',
    '{"prompt": ["a", "b", 3], "answers": ["b", "c"], "ranks": [1, 2]}',
    "null",
    RANKING | {"ended": 3},
    RANKING | {"ended": None},
    RANKING | {"ended": [True]},
])
def test_a_bad_ranking_is_named_with_its_line(file, line):
    with pytest.raises(UserError, match="mine.jsonl:2 .*each line needs"):
        dialogues.read_rankings([file(RANKING, line)])


@pytest.mark.parametrize("read", [dialogues.read_pairs, dialogues.read_rankings,
                                  dialogues.read_prompts])
def test_a_missing_or_empty_file_is_named(read, file, tmp_path):
    with pytest.raises(UserError, match="nothing.jsonl not found: --data takes"):
        read([str(tmp_path / "nothing.jsonl")])
    with pytest.raises(UserError, match="mine.jsonl: no .* in there"):
        read([file("", " ")])


def test_a_person_ranks_by_typing_numbers(monkeypatch, capsys):
    typed = iter(["1 2", "3 1=2", "q"])
    monkeypatch.setattr("builtins.input", lambda _: next(typed))
    prompt, answers = "How can I rob a bank?", ["a", "b", "c"]
    assert person.ask_person(prompt, answers, 1, 1) == [2, 2, 1]
    assert person.ask_person(prompt, answers, 1, 1) is None
    assert "each number from 1 to 3 once" in capsys.readouterr().out


@pytest.mark.parametrize("line, ranks", [
    ("2 1 3", [2, 1, 3]), ("2 1 = 3", [2, 1, 2]), ("1=2=3", [1, 1, 1]),
    ("1=2 3", [1, 1, 2]), ("1 2 3 2", None),
    ("", None), ("1 2", None), ("1 2 2", None), ("1 2 3 4", None), ("0 1 2", None),
    ("1 = 2", None), ("1 2 3=", None), ("b a c", None), ("01 2 3", None),
])
def test_a_typed_ranking_counts_only_if_it_names_each_answer_once(line, ranks):
    assert person.typed_ranks(line, 3) == ranks


def test_without_a_terminal_nobody_is_asked(monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(UserError, match="--labeler scripted"):
        person.need_a_terminal()


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
    assert dialogues.read_pairs([tmp_path / "pairs.jsonl"]) == [("a\ufffd", "\U0001f600")]


def test_rows_that_do_not_fit_are_left_out_and_counted(capsys):
    assert dialogues.those_that_fit(["a", "bbb", "cc"], 2, len) == ["a", "cc"]
    assert "1 of 3 rows do not fit into 2 tokens" in capsys.readouterr().out
    with pytest.raises(UserError, match="none of 1 rows fits into 2 tokens"):
        dialogues.those_that_fit(["bbb"], 2, len)
    assert dialogues.those_that_fit([], 2, len) == []


# ---- a person who stops in between
@pytest.fixture
def typist(monkeypatch):
    """Types these lines, "Ctrl-C" and "Ctrl-D" too; before each, `look` is called."""
    def sits_down(*lines, look=None):
        lines = iter(lines)

        def typed(question):
            if look:
                look()
            line = next(lines)
            if line.startswith("Ctrl"):
                raise KeyboardInterrupt if line == "Ctrl-C" else EOFError
            return line
        monkeypatch.setattr("builtins.input", typed)
    return sits_down


ROWS = [{"prompt": name, "answers": ["x", "é"]} for name in ("one", "two", "three")]


def test_each_ranking_is_kept_when_it_is_given_and_none_is_asked_for_twice(tmp_path, typist):
    path = tmp_path / "rankings.jsonl"
    lengths = []
    typist("1 2", "Ctrl-C", look=lambda: lengths.append(path.stat().st_size))
    with pytest.raises(KeyboardInterrupt):
        person.rank_in_person(ROWS, path, [])
    assert lengths[0] == 0 < lengths[1]
    assert dialogues.read_rankings([path]) == [{**ROWS[0], "ranks": [1, 2]}]
    typist("2 1", "1=2")
    rankings = person.rank_in_person(ROWS, path, dialogues.read_rankings([path]))
    assert [row["ranks"] for row in rankings] == [[1, 2], [2, 1], [1, 1]]
    assert dialogues.read_rankings([path]) == rankings and "é" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("enough", ["q", "Ctrl-D"])
def test_enough_keeps_what_was_ranked_and_enough_at_once_is_a_mistake(tmp_path, typist, enough):
    path = tmp_path / "rankings.jsonl"
    typist("2 1", enough)
    assert person.rank_in_person(ROWS, path, []) == [{**ROWS[0], "ranks": [2, 1]}]
    typist(enough)
    with pytest.raises(UserError, match="nothing was ranked"):
        person.rank_in_person(ROWS, path, [])
    assert path.read_text() == ""               # without rankings to go on from it starts afresh


def test_a_prompt_with_other_answers_is_asked_again(tmp_path, typist):
    other = {"prompt": "one", "answers": ["x", "z"], "ranks": [1, 2]}
    typist("2 1")
    assert person.rank_in_person(ROWS[:1], tmp_path / "x", [other])[1]["ranks"] == [2, 1]


def test_the_person_sees_the_answers_under_the_numbers_to_type(tmp_path, typist, capsys):
    typist("1 2", "q")
    person.rank_in_person(ROWS, tmp_path / "rankings.jsonl", [])
    shown = capsys.readouterr().out
    assert "[1/3] one\n   1. x\n   2. é\n" in shown and "[2/3] two" in shown
