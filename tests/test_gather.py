"""Gathering takes what --data can name, one document at a time; an address is fetched once, whole
or not at all; mistakes end in one clear line."""
import gzip
import http.server
import importlib.util
import json
import os
import sys
import threading
from pathlib import Path

import pytest

from data.gather import (LONGEST, PASSAGE, download, gather, inputs, json_rows,
                         read_documents)
from run import UserError, saving


def make(path, content):
    path.write_bytes(content)
    return path


@pytest.fixture
def folder(tmp_path):
    make(tmp_path / "a.txt", b"plain text")
    make(tmp_path / "b.md", b"# a title")
    make(tmp_path / "c.html", b"<p>a page</p>")
    make(tmp_path / "d.jsonl", b'{"text": "one"}\n\n{"text": "two", "body": "zwei"}\n')
    make(tmp_path / "e.jsonl.gz", gzip.compress(b'{"text": "three"}\n'))
    make(tmp_path / "f.txt.gz", gzip.compress(b"packed"))
    make(tmp_path / "picture.png", b"\x89PNG")
    return tmp_path


def texts(*sources, **options):
    documents = gather(map(str, sources), **options)
    return [text if isinstance(text, str) else text.decode() for text in documents]


def test_a_folder_gives_the_documents_of_all_kinds_of_text_in_order_and_nothing_else(folder):
    assert texts(folder) == [
        "plain text", "# a title", "<p>a page</p>", "one", "two", "three", "packed"]


def test_a_folder_is_read_to_its_depth_and_whatever_the_case_of_endings(tmp_path):
    deep = tmp_path / "one" / "two"
    deep.mkdir(parents=True)
    make(deep / "b.TXT.GZ", gzip.compress(b"second"))
    make(deep / "a.Txt", b"first")
    make(deep / "named.json", b'{"text": "read only where it is named"}')
    assert texts(tmp_path) == ["first", "second"]
    assert texts(deep / "named.json") == ["read only where it is named"]


def test_files_and_globs_mix_and_a_named_field_is_taken(folder):
    assert texts(folder / "a.txt", folder / "*.gz") == ["plain text", "three", "packed"]
    (folder / "d.jsonl").write_text('{"body": "zwei"}\n')
    assert texts(folder / "d.jsonl", text_field="body") == ["zwei"]


def test_parquet_is_read_where_pyarrow_is_there(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"text": ["one", None, "two"]}), tmp_path / "a.parquet")
    assert texts(tmp_path / "a.parquet") == ["one", "two"]
    with pytest.raises(UserError, match='no column "body".*it has text.*--text-field'):
        texts(tmp_path / "a.parquet", text_field="body")


def test_parquet_without_pyarrow_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match="needs pyarrow: `pip install pyarrow`"):
        texts(make(tmp_path / "a.parquet", b"PAR1"))


ROWS = [{"text": "one"}, {"text": "two\u2028and more"}, {"text": None}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


@pytest.mark.parametrize("name, content", [
    ("x.jsonl", LINES.encode()),
    ("x.jsonl", b"\xef\xbb\xbf" + LINES.encode()),
    ("x.jsonl", LINES.encode("utf-16")),
    ("x.jsonl.gz", gzip.compress(LINES.encode("utf-16"))),
    ("x.json", LINES.encode()),
    ("x.json", json.dumps(ROWS).encode()),
    ("x.jsonl", json.dumps(ROWS, indent=1).encode()),
    ("x.json", b"[" + LINES.encode().replace(b"\n", b"\n,")[:-1] + b"]"),
    ("x.csv", "text,n\none,1\n\"two\u2028and more\",2\n,3\n".encode()),
    ("x.tsv", "\ufefftext\tn\none\t1\ntwo\u2028and more\t2\n".encode("utf-16")),
])
def test_rows_are_read_as_what_they_are(tmp_path, name, content):
    assert texts(make(tmp_path / name, content)) == ["one", "two\u2028and more"]


def test_a_row_without_text_is_counted(tmp_path, capsys):
    assert texts(make(tmp_path / "x.jsonl", LINES.encode())) == ["one", "two\u2028and more"]
    assert capsys.readouterr().out.endswith("x.jsonl: 1 rows without text skipped\n")


def test_rows_without_text_are_counted_file_by_file(tmp_path, capsys):
    for name in ("x.jsonl", "y.jsonl"):
        make(tmp_path / name, LINES.encode())
    texts(tmp_path)
    assert capsys.readouterr().out.count(": 1 rows without text skipped\n") == 2


def test_a_row_in_windows_letters_is_read(tmp_path):
    path = make(tmp_path / "x.jsonl", '{"text": "a café “here”"}'.encode("cp1252"))
    assert texts(path) == ["a café “here”"]


def test_half_a_character_becomes_the_sign_for_a_lost_one(tmp_path):
    lines = rb'{"text": "Paris \ud83d"}' + b"\n" + rb'["\ud83d\ude00\udc00"]'
    path = make(tmp_path / "x.jsonl", lines)
    assert list(json_rows(path)) == [(1, {"text": "Paris \ufffd"}), (2, ["\U0001f600\ufffd"])]


def test_one_bad_byte_costs_one_letter_of_a_row(tmp_path):
    assert texts(make(tmp_path / "x.jsonl", '{"text": "é è \xff"}'.encode("utf-8").replace(
        "\xff".encode(), b"\xff"))) == ["é è \ufffd"]


PICTURE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@pytest.mark.parametrize("name, content", [
    ("x.txt", PICTURE), ("x.txt.gz", gzip.compress(PICTURE)), ("x.jsonl", PICTURE),
    ("x.csv", PICTURE), ("x.html", PICTURE), ("x.txt", b"%PDF-1.4\n1 0 obj\n"),
    ("x.txt", "no mark".encode("utf-16-le"))])
def test_what_is_no_text_is_refused_by_name_and_not_cleaned_away(tmp_path, name, content):
    with pytest.raises(UserError, match=f"{name} is not text: give text"):
        texts(make(tmp_path / name, content))


def test_what_is_packed_is_unpacked_whatever_its_name(tmp_path):
    assert texts(make(tmp_path / "x.txt", gzip.compress(b"some words"))) == ["some words"]


@pytest.mark.parametrize("name, content", [
    ("empty.txt", b""), ("empty.jsonl", b"\n"), ("empty.csv", b"text\n"), ("empty.html", b" \n"),
    ("empty.txt", "".encode("utf-16")), ("empty.json", b"[]"), ("empty.json", b'{"text": null}')])
def test_an_empty_file_is_called_empty_by_name(tmp_path, name, content):
    path = make(tmp_path / name, content)
    with pytest.raises(UserError, match=f"{name}: empty"):
        texts(path)
    good = make(tmp_path / "good.txt", b"some words")
    assert texts(path, good) == ["some words"]


NO_FIELD = 'x.jsonl:1 has no text in "text" .it has body.: name the field with --text-field'
WITH_PYARROW = pytest.mark.skipif(
    not importlib.util.find_spec("pyarrow"), reason="pyarrow is not installed")


@pytest.mark.parametrize("name, content, words", [
    ("x.jsonl", b'{"text": "one"}\n{"text": \n', "x.jsonl:2 is not JSON"),
    ("x.jsonl", b'{"body": "one"}\n', NO_FIELD),
    ("x.jsonl", b"[1]\n", "x.jsonl:1 has no text"),
    ("x.jsonl", b'{"text": 5}\n', "no text in .text. .there is a int, not a text, in it."),
    ("x.json", b'{"a": 1', "x.json:1 is not JSON"),
    ("x.jsonl", b"[" * 100_000, "x.jsonl:1 is not JSON"),
    ("x.csv", b"a;text\n1;2\n", 'x.csv has no column "text" .it has a;text.'),
    ("x.txt.gz", b"no gzip", "cannot be unpacked"),
    ("x.txt.gz", gzip.compress(b"cut short" * 99)[:-9], "cut short or no gzip"),
    ("x.parquet.gz", b"no parquet", "unpack it first"),
    pytest.param("x.parquet", b"no parquet", "cannot be read as parquet", marks=WITH_PYARROW),
])
def test_a_broken_file_ends_in_one_line_that_names_it(tmp_path, name, content, words):
    with pytest.raises(UserError, match=words):
        texts(make(tmp_path / name, content))


def test_nothing_there_and_nothing_readable_there_are_named(tmp_path):
    with pytest.raises(UserError, match="none.txt not found: --data takes files, folders, globs"):
        texts(tmp_path / "none.txt")
    with pytest.raises(UserError, match="holds no file that ends in .txt"):
        texts(tmp_path)


@pytest.mark.parametrize("source", ["mine", "mine/*.txt", "mine/deep", "."])
def test_a_folder_without_permission_is_said_to_be_one(tmp_path, monkeypatch, source):
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    make(tmp_path / "a.txt", b"some words")
    locked = tmp_path / "mine" / ("deep" if source == "mine/deep" else "")
    allowed = os.access                             # root may read everything: asked, not tried
    monkeypatch.setattr(os, "access", lambda path, mode: path != locked and allowed(path, mode))
    with pytest.raises(UserError, match=f"{locked}: no permission to read this folder: .chmod"):
        texts(tmp_path / source)


LETTERS = "é€😀"
BOOK = "".join(f"Paragraph {i} of the book.\nIt has a second line.\n\n" for i in range(2000))


@pytest.mark.parametrize("text", [
    BOOK, BOOK.replace("\n", "\r\n"), BOOK.replace("\n\n", "\n"), BOOK.replace("\n", " "),
    LETTERS * 30_000, "\n" * 9000 + BOOK, "short"])
def test_a_long_text_comes_in_passages_that_join_to_the_whole(tmp_path, text):
    parts = list(read_documents(make(tmp_path / "a.txt", text.encode())))
    assert b"".join(parts) == text.encode()
    assert all(len(part) <= LONGEST + 100 for part in parts)
    assert len(parts) >= len(text.encode()) // LONGEST
    assert "".join(part.decode() for part in parts) == text  # no letter is cut


def test_a_passage_is_some_paragraphs_long_and_ends_with_one(tmp_path):
    parts = list(read_documents(make(tmp_path / "a.txt", BOOK.encode())))
    assert all(part.endswith(b"\n\n") for part in parts)
    assert all(PASSAGE / 4 <= len(part) <= 2 * PASSAGE for part in parts)
    utf16 = list(read_documents(make(tmp_path / "b.txt", BOOK.encode("utf-16"))))
    assert utf16 == parts


def test_inputs_change_when_a_file_does(folder):
    before = inputs([str(folder)])
    assert before == inputs([str(folder)]) and len(before) == 6
    (folder / "a.txt").write_text("other text")
    assert inputs([str(folder)]) != before
    before, when = inputs([str(folder)]), (folder / "a.txt").stat().st_mtime_ns
    (folder / "a.txt").write_text("longer text")
    os.utime(folder / "a.txt", ns=(when, when))     # as a copy that keeps the times does
    assert inputs([str(folder)]) != before
    assert inputs(["https://example.org/a.txt"]) == [["https://example.org/a.txt"]]


CONTENT = bytes(range(256)) * 2000


class Server(http.server.BaseHTTPRequestHandler):
    """Sends `sent` bytes of CONTENT, then hangs up; /404 is not there."""
    sent, requests = 1 << 30, []

    def do_GET(self):
        self.requests.append(self.path)
        if self.path == "/404":
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: self.sent])
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    Server.requests, Server.sent = [], 1 << 30
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


def test_an_address_is_fetched_once_and_then_used_again(server, tmp_path):
    path = download(f"{server}/a.txt", tmp_path)
    assert path.read_bytes() == CONTENT
    assert download(f"{server}/a.txt", tmp_path) == path
    assert Server.requests == ["/a.txt"] and list(tmp_path.iterdir()) == [path]


def test_addresses_with_one_name_have_a_file_each_and_a_long_one_comes_whole(
        server, tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.CONTENT", bytes(3 << 20))
    one, other = (download(f"{server}/{folder}/a.txt", tmp_path) for folder in "xy")
    assert one != other and one.stat().st_size == other.stat().st_size == 3 << 20


def test_a_broken_download_leaves_nothing_that_is_taken_for_the_whole(server, tmp_path):
    Server.sent = 200_000
    with pytest.raises(UserError, match="200000 of 512000 bytes came.*curl or wget") as mistake:
        download(f"{server}/a.txt", tmp_path)
    assert "\n" not in str(mistake.value) and list(tmp_path.iterdir()) == []
    Server.sent = 1 << 30
    assert download(f"{server}/a.txt", tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("address, words", [
    ("{server}/404", "/404 cannot be fetched .HTTP Error 404.*curl or wget, and give the file"),
    ("http://127.0.0.1:9/a.txt", "a.txt cannot be fetched .*refused.*curl or wget"),
    ("http://", "cannot be fetched .*no host"),
    ("http://[bad", "cannot be fetched .Invalid IPv6"),
    ("http://a b/c.txt", "cannot be fetched "),
    ("http://127.0.0.1:port/a.txt", "cannot be fetched .*port"),
    ("http://127.0.0.1:9/" + "long" * 999, "cannot be fetched "),
])
def test_what_cannot_be_fetched_is_said_in_one_line(server, tmp_path, address, words):
    with pytest.raises(UserError, match=words) as mistake:
        download(address.format(server=server), tmp_path)
    assert "\n" not in str(mistake.value) and list(tmp_path.iterdir()) == []


def test_a_server_that_falls_silent_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "PATIENCE", 0.1)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as silent:  # nobody serves
        with pytest.raises(UserError, match="cannot be fetched .*timed out"):
            download(f"http://127.0.0.1:{silent.server_port}/a.txt", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_address_is_gathered_like_a_file(tmp_path, server, monkeypatch):
    line = json.dumps({"text": "far away"}) + "\n"
    monkeypatch.setattr(f"{__name__}.CONTENT", line.encode() * 3)
    assert texts(f"{server}/a.jsonl", cache=tmp_path) == ["far away"] * 3
    assert [Path(path).suffix for path in tmp_path.iterdir()] == [".jsonl"]
