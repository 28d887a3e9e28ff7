"""Gathering takes what --data can name, one document at a time; downloads survive a server that hangs up; mistakes end in one clear line."""
import gzip
import http.server
import importlib.util
import json
import threading
from pathlib import Path

import pytest

from data import gather as gather_module
from data.gather import LONGEST, download, gather, inputs, read_documents
from run import UserError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.txt").write_text("plain text")
    (tmp_path / "b.md").write_text("# a title")
    (tmp_path / "c.html").write_text("<p>a page</p>")
    (tmp_path / "d.jsonl").write_text('{"text": "one"}\n\n{"text": "two", "body": "zwei"}\n')
    with gzip.open(tmp_path / "e.jsonl.gz", "wt") as file:
        file.write('{"text": "three"}\n')
    with gzip.open(tmp_path / "f.txt.gz", "wt") as file:
        file.write("packed")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    return tmp_path


def texts(*sources, **options):
    return [text if isinstance(text, str) else text.decode() for text in gather(map(str, sources), **options)]


def test_a_folder_gives_the_documents_of_all_kinds_of_text_in_order_and_nothing_else(folder):
    assert texts(folder) == ["plain text", "# a title", "<p>a page</p>", "one", "two", "three", "packed"]


def test_files_and_globs_mix_and_a_named_field_is_taken(folder):
    assert texts(folder / "a.txt", folder / "*.gz") == ["plain text", "three", "packed"]
    (folder / "d.jsonl").write_text('{"body": "zwei"}\n')
    assert texts(folder / "d.jsonl", text_field="body") == ["zwei"]


def test_parquet_is_read_where_pyarrow_is_there(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"text": ["one", None, "two"]}), tmp_path / "a.parquet")
    assert texts(tmp_path / "a.parquet") == ["one", "two"]
    with pytest.raises(UserError, match='no column "body".*it has text.*--text-field'):
        texts(tmp_path / "a.parquet", text_field="body")


def test_parquet_without_pyarrow_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match="needs pyarrow: `pip install pyarrow`"):
        texts(make(tmp_path / "a.parquet", b"PAR1"))


def make(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name, content, words", [
    ("x.jsonl", b'{"text": "one"}\n{"text": \n', "x.jsonl:2 is not JSON"), ("x.jsonl", b'{"body": "one"}\n', 'x.jsonl:1 has no text in "text" .it has body.: name the field with --text-field'),
    ("x.jsonl", b"[1]\n", "x.jsonl:1 has no text"), ("x.txt.gz", b"no gzip", "cannot be unpacked"), ("x.txt.gz", gzip.compress(b"cut short" * 99)[:-9], "cut short or no gzip"),
    pytest.param("x.parquet", b"no parquet", "cannot be read as parquet", marks=pytest.mark.skipif(not importlib.util.find_spec("pyarrow"), reason="pyarrow is not installed")),
])
def test_a_broken_file_ends_in_one_line_that_names_it(tmp_path, name, content, words):
    with pytest.raises(UserError, match=words):
        texts(make(tmp_path / name, content))


def test_nothing_there_and_nothing_readable_there_are_named(tmp_path):
    with pytest.raises(UserError, match="none.txt not found: --data takes files, folders, globs"):
        texts(tmp_path / "none.txt")
    with pytest.raises(UserError, match="holds no file that ends in .txt"):
        texts(tmp_path)


def test_a_long_text_comes_in_pieces_that_join_to_the_whole_and_end_between_paragraphs(tmp_path, monkeypatch):
    monkeypatch.setattr(gather_module, "LONGEST", 1000)
    for text in ("A paragraph of words.\n\n" * 200, "A line of words.\n" * 200, "é€😀" * 900):
        pieces = list(read_documents(make(tmp_path / "a.txt", text.encode())))
        assert b"".join(pieces) == text.encode() and all(len(piece) <= 1000 for piece in pieces) and len(pieces) > 2
        assert "".join(piece.decode() for piece in pieces) == text                                       # no character is cut
    assert list(read_documents(make(tmp_path / "a.txt", b"One.\n\nTwo.\n\n" + b"x" * 995)))[0] == b"One.\n\nTwo.\n\n"
    assert LONGEST == 1 << 22


def test_inputs_change_when_a_file_does(folder):
    before = inputs([str(folder)])
    assert before == inputs([str(folder)]) and len(before) == 6
    (folder / "a.txt").write_text("other text")
    assert inputs([str(folder)]) != before
    assert inputs(["https://example.org/a.txt"]) == [["https://example.org/a.txt"]]


CONTENT = bytes(range(256)) * 2000


class Server(http.server.BaseHTTPRequestHandler):
    """Answers with CONTENT and hangs up after `piece` bytes of each answer; /404 is not there; /new changes its version after the first request."""
    piece, requests, ranges = 200_000, [], True

    def do_GET(self):
        start = int(self.headers.get("Range", "bytes=0-")[6:-1]) if self.ranges else 0
        tag = f'"{len(self.requests) if self.path.startswith("/new") and len(self.requests) < 2 else "v"}"'
        self.requests.append((self.path, start))
        if self.path == "/404":
            return self.send_error(404)
        if self.headers.get("If-Range", tag) != tag:
            start = 0
        content = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", tag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        self.wfile.write(content[: self.piece])
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    Server.requests, Server.piece, Server.ranges = [], 200_000, True
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()


def test_a_dropped_download_goes_on_where_it_stopped_and_is_then_kept(server, tmp_path):
    path = download(f"{server}/a.txt", tmp_path)
    assert path.read_bytes() == CONTENT
    assert Server.requests == [("/a.txt", 0), ("/a.txt", 200_000), ("/a.txt", 400_000)]
    assert download(f"{server}/a.txt", tmp_path) == path and len(Server.requests) == 3 and len(list(tmp_path.iterdir())) == 1


def test_a_later_run_goes_on_with_what_an_earlier_one_left(server, tmp_path):
    with pytest.raises(UserError, match="200000 of 512000 bytes came.*the same command goes on"):
        download(f"{server}/a.txt", tmp_path, tries=1)
    assert download(f"{server}/a.txt", tmp_path).read_bytes() == CONTENT and Server.requests[1][1] == 200_000


def test_halves_of_two_versions_are_never_joined(server, tmp_path):
    assert download(f"{server}/new.txt", tmp_path, tries=9, wait=0).read_bytes() == CONTENT
    assert [start for _, start in Server.requests].count(200_000) >= 2      # asked to go on, and was given the new version from its beginning


def test_a_server_without_ranges_is_asked_until_the_whole_comes(server, tmp_path):
    Server.ranges, Server.piece = False, 1 << 30
    path = download(f"{server}/b.txt", tmp_path)
    path.unlink(), make(tmp_path / f"{path.name}.part", b"left over")
    assert download(f"{server}/b.txt", tmp_path).read_bytes() == CONTENT


def test_what_is_not_there_is_said_at_once_and_nobody_at_home_after_some_tries(server, tmp_path):
    with pytest.raises(UserError, match="/404: the server says 404"):
        download(f"{server}/404", tmp_path)
    assert len(Server.requests) == 1
    with pytest.raises(UserError, match="cannot be fetched.*check the address"):
        download("http://127.0.0.1:9/a.txt", tmp_path, tries=2, wait=0)


def test_an_address_is_gathered_like_a_file(tmp_path, server, monkeypatch):
    monkeypatch.setattr(f"{__name__}.CONTENT", (json.dumps({"text": "far away"}) + "\n").encode() * 3)
    assert texts(f"{server}/a.jsonl", cache=tmp_path) == ["far away"] * 3
    assert [Path(path).suffix for path in tmp_path.iterdir()] == [".jsonl"]
