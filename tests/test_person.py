"""A person ranks at the terminal: what they may type, what is kept when, how far they agree."""
import json
import sys

import pytest

import run
import train_rm
from data import dialogues, world
from run import UserError, person

ROWS = [{"prompt": name, "answers": ["x", "é"]} for name in ("one", "two", "three")]


@pytest.fixture
def typist(monkeypatch):
    """Types these lines, "Ctrl-C" and "Ctrl-D" too; a text that is an answer, or some of them with
    = and blanks between, as their letters. Before each line `look` is called."""
    def sits_down(*lines, look=None):
        lines, shown = iter(lines), {}
        show = print

        def watch(*words, **more):
            text = " ".join(map(str, words))
            if text.startswith("\n["):
                shown.clear()
            if text[:3] == "   " and text[4:6] == ". ":
                shown[text[6:]] = text[3]
            show(*words, **more)

        def typed(question):
            if look:
                look()
            line = next(lines)
            if line.startswith("Ctrl"):
                raise KeyboardInterrupt if line == "Ctrl-C" else EOFError
            return "".join(shown.get(letter, letter) for letter in line)

        monkeypatch.setattr("builtins.print", watch)
        monkeypatch.setattr("builtins.input", typed)
    return sits_down


def rank(path, rankings=(), rows=ROWS, repeat=0.0):
    return person.rank_in_person(rows, path, rankings, repeat)


def ranks_in(path):
    return [row["ranks"] for row in dialogues.read_rankings([path], ties=True)]


# ------------------------------------------------------------------------------- what is typed
@pytest.mark.parametrize("line, ranks", [
    ("B A C", [2, 1, 3]), ("b a = c", [2, 1, 2]), ("A=B=C", [1, 1, 1]), ("a=b c", [1, 1, 2]),
    ("A B C B", None), ("", None), ("A B", None), ("A B B", None), ("A B C D", None),
    ("A = B", None), ("A B C=", None), ("2 1 3", None), ("ABC", None),
])
def test_a_typed_ranking_counts_only_if_it_names_each_answer_once(line, ranks):
    assert person.typed_ranks(line, ["A", "B", "C"]) == ranks


def test_ranks_belong_to_the_answers_whatever_letters_they_stand_under(typist, capsys):
    typist("z x=y", "x y=z", "y z x")
    for ranks in ([2, 2, 1], [1, 2, 2], [3, 1, 2]):
        assert person.ask_person("Why?", ["x", "y", "z"], ranks[0], 9) == ranks
    shown = capsys.readouterr().out
    assert "[2/9] Why?\n   A. " in shown and "   C. " in shown


def test_the_letters_are_shuffled(typist, capsys):
    typist(*["q"] * 20)
    for i in range(20):
        person.ask_person(f"prompt {i}", ["x", "y", "z"], 1, 1)
    firsts = [line for line in capsys.readouterr().out.splitlines() if line.startswith("   A. ")]
    assert len(set(firsts)) == 3


def test_answers_that_are_alike_are_shown_once_and_share_their_rank(typist, tmp_path):
    rows = [{"prompt": "one", "answers": ["x", "y", "x"]}, {"prompt": "two", "answers": ["x", "x"]}]
    typist("y x")
    assert [row["ranks"] for row in rank(tmp_path / "r", rows=rows)] == [[2, 1, 2]]


def test_a_slip_of_the_fingers_is_asked_again_and_a_question_mark_shows_the_guideline(
        typist, capsys):
    typist("x", "?", "x y")
    assert person.ask_person("Why?", ["x", "y"], 1, 1) == [1, 2]
    shown = capsys.readouterr().out
    assert "each letter from A to B once" in shown
    assert all(word in shown for word in ("helpful", "honest", "harmless"))


def test_an_answer_of_several_lines_stays_under_its_letter_and_moves_no_cursor(typist, capsys):
    typist("q")
    person.ask_person("Why?", ["one\n   B. two\x1b[2J\x07", " "], 1, 1)
    shown = capsys.readouterr().out
    assert ". one\n         B. two\ufffd[2J\ufffd\n" in shown and "(empty)" not in shown
    typist("q")
    person.ask_person("Why?", ["one", ""], 1, 1)
    assert ". (empty)\n" in capsys.readouterr().out


def test_a_dialogue_is_shown_up_to_its_last_question(typist, capsys):
    typist("q")
    person.ask_person(["Hi?", "Hello.", "And now?"], ["x", "y"], 1, 1)
    assert "[1/1] Hi? / Hello. / And now?\n" in capsys.readouterr().out


def test_without_a_terminal_nobody_is_asked(monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(UserError, match="--labeler scripted"):
        person.need_a_terminal()


# ------------------------------------------------------------------------------- what is kept
def test_each_ranking_is_kept_when_it_is_given_and_none_is_asked_for_twice(tmp_path, typist):
    path, lengths = tmp_path / "rankings.jsonl", []
    typist("x é", "Ctrl-C", look=lambda: lengths.append(path.stat().st_size))
    with pytest.raises(KeyboardInterrupt):
        rank(path)
    assert lengths[0] == 0 < lengths[1]
    assert dialogues.read_rankings([path]) == [{**ROWS[0], "ranks": [1, 2], "labeler": "person"}]
    typist("é x", "x=é")
    rankings = rank(path, dialogues.read_rankings([path]))
    assert [row["ranks"] for row in rankings] == [[1, 2], [2, 1], [1, 1]]
    assert dialogues.read_rankings([path], ties=True) == rankings
    assert "é" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("enough", ["q", "Ctrl-D"])
def test_enough_keeps_what_was_ranked_and_enough_at_once_is_a_mistake(tmp_path, typist, enough):
    path = tmp_path / "rankings.jsonl"
    typist("é x", enough)
    assert [row["ranks"] for row in rank(path)] == [[2, 1]]
    typist(enough)
    with pytest.raises(UserError, match="nothing was ranked"):
        rank(path)


def test_a_file_of_scripted_rankings_stays_until_the_first_of_a_person(tmp_path, typist):
    path = tmp_path / "rankings.jsonl"
    path.write_text("scripted\n")
    typist("s", "q")
    with pytest.raises(UserError, match="nothing was ranked"):
        rank(path)
    assert path.read_text() == "scripted\n"
    typist("x é", "q")
    assert [row["ranks"] for row in rank(path)] == ranks_in(path) == [[1, 2]]


def test_back_takes_the_last_ranking_back_and_skip_leaves_one_out(tmp_path, typist):
    path = tmp_path / "rankings.jsonl"
    typist("x é", "b", "é x", "s", "x é")
    assert [row["ranks"] for row in rank(path)] == [[2, 1], [1, 2]]
    assert ranks_in(path) == [[2, 1], [1, 2]]
    assert [row["prompt"] for row in dialogues.read_rankings([path])] == ["one", "three"]
    typist("b", "x é")          # what was skipped is asked on another day; nothing lies before it
    assert len(rank(path, dialogues.read_rankings([path]))) == 3
    assert ranks_in(path) == [[2, 1], [1, 2], [1, 2]]


@pytest.mark.parametrize("before", ["scripted\n", None])
def test_where_the_only_ranking_is_taken_back_the_file_is_as_it_was(tmp_path, typist, before):
    path = tmp_path / "rankings.jsonl"
    if before:
        path.write_text(before)
    for lines in (["x é", "b", "q"], ["q"], ["x é", "b", "Ctrl-C"], ["Ctrl-C"]):
        typist(*lines)
        with pytest.raises((UserError, KeyboardInterrupt)):
            rank(path)
        assert (path.read_text() if path.exists() else None) == before
    typist("x é", "b", "é x", "q")
    assert [row["ranks"] for row in rank(path)] == ranks_in(path) == [[2, 1]]


def test_back_at_the_first_says_so_and_keys_may_be_large(tmp_path, typist, capsys):
    typist("B", "S", "é x", "B", "x é", "Q")
    assert [row["ranks"] for row in rank(tmp_path / "r")] == ranks_in(tmp_path / "r") == [[1, 2]]
    assert capsys.readouterr().out.count("nothing lies before this one") == 1


def test_back_over_one_that_was_skipped_takes_nothing_back(tmp_path, typist):
    typist("x é", "s", "b", "b", "é x", "q")
    assert [row["ranks"] for row in rank(tmp_path / "r")] == [[2, 1]]
    assert ranks_in(tmp_path / "r") == [[2, 1]]
    typist("x é", "s", "b", "s", "q")
    assert [row["ranks"] for row in rank(tmp_path / "r")] == ranks_in(tmp_path / "r") == [[1, 2]]


def test_a_prompt_with_other_answers_is_asked_again(tmp_path, typist):
    other = {"prompt": "one", "answers": ["x", "z"], "ranks": [1, 2]}
    typist("é x")
    assert rank(tmp_path / "x", [other], ROWS[:1])[1]["ranks"] == [2, 1]


def test_a_person_who_finds_all_alike_teaches_nothing_yet_and_is_not_asked_again(tmp_path, typist):
    path, config = tmp_path / "r", train_rm.Config(labeler="person", resume=True)
    typist("x=é", "q")
    with pytest.raises(UserError, match="nothing was ranked, or all alike"):
        rank(path)
    earlier = person.earlier_rankings(path, config, dialogues.read_rankings)
    typist("x é", "q")
    assert [row["prompt"] for row in rank(path, earlier)] == ["one", "two"]


BY_A_PERSON = {**ROWS[0], "ranks": [1, 2], "labeler": "person"}
SCRIPTED = {**ROWS[1], "ranks": [1, 2]}


@pytest.mark.parametrize("rows, flags, found", [
    ([SCRIPTED], {}, []),
    ([SCRIPTED], {"labeler": "person"}, []),
    ([SCRIPTED], {"labeler": "person", "resume": True}, []),
    ([SCRIPTED], {"policy": "ppo.pt"}, [SCRIPTED]),
    ([BY_A_PERSON], {"policy": "ppo.pt", "labeler": "person"}, [BY_A_PERSON]),
    ([SCRIPTED, BY_A_PERSON], {"labeler": "person", "resume": True}, [SCRIPTED, BY_A_PERSON]),
    ([BY_A_PERSON], {}, "holds a person's rankings"),
    ([BY_A_PERSON], {"resume": True}, "holds a person's rankings"),
    ([BY_A_PERSON], {"labeler": "person"}, "holds a person's rankings"),
    (None, {}, []),
    (None, {"policy": "ppo.pt"}, "adds a second round to a first one"),
])
def test_new_rankings_join_the_old_ones_and_a_persons_work_is_never_written_over(
        tmp_path, rows, flags, found):
    path, config = tmp_path / "rankings.jsonl", train_rm.Config(**flags)
    if rows:
        run.write_json_lines(path, rows)
    if isinstance(found, list):
        assert person.earlier_rankings(path, config, dialogues.read_rankings) == found
    else:
        with pytest.raises(UserError, match=found):
            person.earlier_rankings(path, config, dialogues.read_rankings)


def test_a_person_s_rankings_are_known_however_the_file_was_written(tmp_path):
    path, config = tmp_path / "r.jsonl", run.parse_config(train_rm.Config, "", [])
    path.write_text(json.dumps({**ROWS[0], "ranks": [1, 2], "labeler": "person"},
                               separators=(",", ":")))
    with pytest.raises(UserError, match="holds a person's rankings"):
        person.earlier_rankings(path, config, dialogues.read_rankings)


# ------------------------------------------------------------------------------- agreement
def test_a_share_of_the_prompts_comes_back_later_and_is_marked():
    rows = [{"prompt": str(i), "answers": ["x", "y"]} for i in range(300)]
    order = person.with_returns(rows, 0.2)
    again = [row for row in order if row.get("again")]
    assert [row for row in order if not row.get("again")] == rows and 30 < len(again) < 90
    for row in again:
        first = order.index({"prompt": row["prompt"], "answers": ["x", "y"]})
        assert order.index(row) > first + (person.PLACES if row["prompt"] < "29" else 0)
    assert person.with_returns(rows, 0.0) == rows and person.with_returns(rows, 0.2) == order


def test_agreement_counts_the_pairs_that_both_order(capsys):
    row = {"prompt": "one", "answers": ["a", "b", "c"], "labeler": "person"}
    rankings = [row | {"ranks": [1, 2, 3], "rubric": [1, 1, 2]},        # 2 of 2 as the rubric
                row | {"ranks": [1, 3, 2], "again": True, "rubric": [3, 2, 1]},     # 1 of 3
                {"prompt": "two", "answers": ["a", "b"], "ranks": [1, 2]}]
    figures = person.agreement(rankings)
    assert figures["agreement_with_oneself"]["value"] == pytest.approx(2 / 3)
    assert (figures["agreement_with_rubric"]["value"], figures["agreement_with_rubric"]["n"]) == (
        0.6, 5)
    assert "agreement with oneself 67%" in capsys.readouterr().out
    assert person.agreement(rankings[2:]) == {} and capsys.readouterr().out == ""


# ------------------------------------------------------------------------------- the whole stage
@pytest.fixture
def days_work(small, typist, monkeypatch):
    """train_rm's main with a person who types these lines -> rm.json."""
    def work(*lines, flags=()):
        typist(*lines)
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr(sys, "argv", [
            "train_rm.py", "--quick", "--labeler", "person", "--out", str(small), "--prompts", "12",
            "--sampled", "2", "--foreign", "0", "--steps", "1", "--replay", "0",
            "--heldout-prompts", "9", *flags])
        monkeypatch.setattr(train_rm, "draw_rankings", lambda *more: None)
        train_rm.main()
        return json.loads((small / "rm.json").read_text())
    return work


def test_a_person_goes_on_on_another_day_and_adds_a_round_of_another_policy(small, days_work):
    figures = days_work("A B", "B A", "q")
    assert figures["prompts"] == 2 and "heldout_pair_accuracy" in figures
    figures = days_work("A B", "q", flags=["--resume"])     # the rankings have changed since
    assert figures["prompts"] == 3 == len(ranks_in(small / "rankings.jsonl"))
    first = dialogues.read_rankings([small / "rankings.jsonl"])
    assert all(row["labeler"] == "person" and len(row["rubric"]) == 2 for row in first)
    figures = days_work("A B", "q", flags=["--policy", str(small / "sft.pt")])
    both = dialogues.read_rankings([small / "rankings.jsonl"])
    assert figures["prompts"] == 4 and both[:3] == first and both[3]["prompt"] not in first


def test_a_person_ranks_answers_to_prompts_of_their_own(small, days_work, capsys):
    (small / "mine.txt").write_text("Is it so?\nWhy?\nWho can tell?\n")
    figures = days_work("A B", "B A", "q", flags=["--data", str(small / "mine.txt")])
    rankings = dialogues.read_rankings([small / "rankings.jsonl"])
    assert [row["prompt"] for row in rankings] == ["Is it so?", "Why?"]
    assert figures["prompts"] == figures["heldout_rankings"] == 1 and "by_kind" not in figures
    assert not any(name in figures for name in ("heldout_pair_accuracy_noisy", *world.SHOWN))
    assert "rubric" not in rankings[0]
    line = f"next: python train_ppo.py --quick --out {small} --data YOUR_PROMPTS\n"
    assert line in capsys.readouterr().out


def test_what_scores_cannot_answer_in_a_second_round(small_out, mistake):
    said = mistake(train_rm, "--out", small_out, "--policy", small_out / "rm.pt")
    assert "--policy" in said and "scores answers" in said
