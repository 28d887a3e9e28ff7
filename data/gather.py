"""Documents from files, folders, globs and http(s) addresses, one at a time.

in    paths and addresses of .txt .md .html .jsonl .parquet files, each also .gz; where one is
      named, .json (lines or an array) and .csv
out   gather(sources) -> documents, str or (as they came) bytes; cleaning decodes them
see   what was fetched lies in out/downloads/ and is not fetched again
"""
import contextlib
import csv
import glob
import gzip
import http.client
import io
import json
import os
import re
import zlib
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from urllib.parse import urlsplit

import run
from run import UserError
from run.saving import fetch

KINDS = (".txt", ".md", ".html", ".htm", ".jsonl", ".parquet")
NAMED_KINDS = (".json", ".ndjson", ".csv", ".tsv")  # read where named: folders hold others
PASSAGE = 1 << 12  # bytes, about: a longer .txt is cut between paragraphs
LONGEST = 1 << 16  # bytes; a longer line is cut between words, so that memory stays flat


# ---- bytes -> text
UTF16_MARKS = b"\xff\xfe", b"\xfe\xff"


def decode_bytes(text):
    """UTF-16 by its mark; UTF-8, a few bad bytes lost; else Windows-1252, the web's word for all
    the rest (WHATWG Encoding, section 4.2)."""
    if isinstance(text, str):
        return text
    if text.startswith(UTF16_MARKS):
        return text.decode("utf-16", "replace")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError:
        decoded = text.decode("utf-8-sig", "replace")
        lost = decoded.count("\ufffd")
        few = sum(char > "\x7f" for char in decoded) < 2 * lost  # others are right by chance
        return text.decode("cp1252", "replace") if few else decoded


# ---- which files
def is_address(source):
    return source.lower().startswith(("http://", "https://"))


def is_packed(path):
    return Path(path).suffix.lower() == ".gz"


def kind_of(path):
    """".jsonl" for corpus.jsonl and corpus.jsonl.gz; the ending in small letters."""
    name = Path(path).stem if is_packed(path) else path
    return Path(name).suffix.lower()


def files_of(source, kinds=KINDS, takes="files, folders, globs and http(s) addresses"):
    """The files that a path or glob names, sorted. Raises UserError where there are none, and for
    a folder that may not be read."""
    path = Path(source)
    if path.is_file():
        return [path]
    inside = [path, *path.rglob("*")] if path.is_dir() else [path.parent]
    for folder in inside:
        if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
            raise UserError(f"{folder}: no permission to read this folder: `chmod u+rx {folder}`")
    if path.is_dir():
        found = [file for file in inside if file.is_file() and kind_of(file) in kinds]
        mistake = f"{source} holds no file that ends in {' '.join(kinds)} (or these with .gz)"
    else:
        found = [Path(name) for name in glob.glob(source, recursive=True) if Path(name).is_file()]
        mistake = f"{source} not found: --data takes {takes}"
    if not found:
        raise UserError(mistake)
    return sorted(found)


def inputs(sources):
    """What shards depend on: [name, bytes, time of last change] of a file, or [address]."""
    described = []
    for source in sources:
        if is_address(source):
            described.append([source])
            continue
        for path in files_of(source):
            described.append([str(path), path.stat().st_size, path.stat().st_mtime_ns])
    return described


# ---- downloads
def download(address, folder):
    """Fetches an address into the folder, once, and returns the path. Raises UserError."""
    try:
        name = Path(urlsplit(address).path).name[-80:] or "index.html"
        if kind_of(name) not in KINDS + NAMED_KINDS:
            name += ".html"
        path = Path(folder) / f"{blake2b(address.encode(), digest_size=4).hexdigest()}-{name}"
        if not path.exists():
            with run.atomic(path) as temporary:
                fetch(address, temporary)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UserError(f"{address} cannot be fetched ({str(error) or type(error).__name__}): "
                        "fetch it with curl or wget, and give the file") from None
    return path


# ---- documents of a file
@contextlib.contextmanager
def opened(path):
    """The file's bytes, unpacked, UTF-16 made UTF-8."""
    try:
        with open(path, "rb") as file:
            if is_packed(path) or file.peek(2).startswith(b"\x1f\x8b"):
                file = gzip.open(file)
            if file.peek(2).startswith(UTF16_MARKS):
                file = io.BufferedReader(io.BytesIO(decode_bytes(file.read()).encode()))
            if b"\0" in (start := file.peek(1 << 12)) or start.startswith(b"%PDF-"):
                raise UserError(f"{path} is not text: give text, in UTF-8 or UTF-16 with its mark")
            yield file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} cannot be unpacked ({error}): it is cut short or no gzip file; "
                        "fetch it again") from None


def read_plain(path):
    """Bytes: passages of some paragraphs each, which join to the whole."""
    passage, lines, size = b"", [], 0
    with opened(path) as file:
        while line := read_line(file):
            lines.append(line)
            size += len(line)
            if size > (4 * PASSAGE if line.strip() else PASSAGE):  # where no paragraph ends
                if passage:
                    yield passage
                passage, lines, size = b"".join(lines), [], 0
    if passage and size > PASSAGE // 4:  # a short end goes with the passage before it
        yield passage
        passage = b""
    yield passage + b"".join(lines)


def read_line(file):
    """At most LONGEST bytes and, of a longer line, the rest of the word, or of the letter."""
    line = file.readline(LONGEST)
    while not line[-1:].isspace() and (after := file.peek(1)[:1]):
        if len(line) > LONGEST + 60 and not b"\x80" <= after < b"\xc0":  # 10xxxxxx: goes on
            break
        line += file.read(1)
    return line


def json_rows(path):
    """Yields (line number, value): JSON lines, or one JSON array or object over any lines."""
    with opened(path) as file:
        lines = enumerate(map(decode_bytes, file), 1)  # U+2028 ends none
        lines = ((number, line.strip()) for number, line in lines if line.strip())
        start = list(islice(lines, 2))
        if len(start) == 2 and start[0][1][0] + start[0][1][-1] in ("{}", "[]", '""'):
            for number, line in chain(start, lines):
                yield number, parse_json(line, f"{path}:{number}")
        elif start:
            whole = "\n".join(line for _, line in chain(start, lines))
            value = parse_json(whole, f"{path}:{start[0][0]}")
            yield from enumerate(value if isinstance(value, list) else [value], start[0][0])


def parse_json(text, place):
    """The value; a half of a character (a lone surrogate) becomes U+FFFD."""
    try:
        value = json.loads(text)
        return whole_characters(value) if "\\ud" in text.lower() else value
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place} is not JSON ({error}): give one value a line, or one array"
                        ) from None


def whole_characters(value):
    """A JSON value, halves of characters (lone surrogates) in it made U+FFFD."""
    return json.loads(re.sub("[\ud800-\udfff]", "\ufffd", json.dumps(value, ensure_ascii=False)))


def read_json(path, text_field):
    for number, row in json_rows(path):
        text = row.get(text_field, row) if isinstance(row, dict) else row
        if not isinstance(text, str | None):
            has = f"it has {', '.join(row)}" if isinstance(row, dict) else "each line needs one"
            if isinstance(row, dict) and text_field in row:
                has = f"there is a {type(text).__name__}, not a text, in it"
            raise UserError(f'{path}:{number} has no text in "{text_field}" ({has}): '
                            "name the field with --text-field")
        yield text


def check_column(path, text_field, columns):
    if text_field not in columns:
        raise UserError(f'{path} has no column "{text_field}" (it has {", ".join(columns)}): '
                        "name it with --text-field")


def read_csv(path, text_field):
    csv.field_size_limit(1 << 30)
    with opened(path) as file:
        separator = "\t" if kind_of(path) == ".tsv" else ","
        rows = csv.DictReader(map(decode_bytes, file), delimiter=separator)
        try:
            check_column(path, text_field, rows.fieldnames or [text_field])
            yield from (row[text_field] for row in rows)
        except csv.Error as error:
            raise UserError(f"{path}:{rows.line_num} cannot be read as a table: {error}") from None


def read_parquet(path, text_field):
    if is_packed(path):
        raise UserError(f"{path}: unpack it first (`gunzip`), parquet is compressed already and "
                        "must be read from the middle")
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise UserError(f"{path} needs pyarrow: `pip install pyarrow`, or give .jsonl") from None
    try:
        table = parquet.ParquetFile(path)
    except Exception as error:  # pyarrow raises its own kinds
        raise UserError(f"{path} cannot be read as parquet: {error}") from None
    check_column(path, text_field, table.schema_arrow.names)
    for batch in table.iter_batches(batch_size=1024, columns=[text_field]):
        yield from batch.column(0).to_pylist()


def read_documents(path, text_field="text"):
    """The rows of .jsonl, .csv, .parquet (None: without text), a whole page, a text's passages."""
    kind = kind_of(path)
    if kind in (".jsonl", ".ndjson", ".json"):
        yield from read_json(path, text_field)
    elif kind in (".csv", ".tsv"):
        yield from read_csv(path, text_field)
    elif kind == ".parquet":
        yield from read_parquet(path, text_field)
    elif kind in (".html", ".htm"):
        with opened(path) as file:
            yield file.read()
    else:
        yield from read_plain(path)


def gather(sources, text_field="text", cache="out/downloads"):
    """Yields the documents of all sources (paths, folders, globs, addresses, whose downloads go to
    `cache`) in order, str or bytes. Raises UserError."""
    read, documents = [], 0
    for source in map(str, sources):
        files = [download(source, cache)] if is_address(source) else files_of(source)
        for path in files:
            read.append(str(path))
            without = 0
            for document in read_documents(path, text_field):
                without += document is None
                if document and not document.isspace():
                    documents += 1
                    yield document
            if without:
                print(f"{path}: {without:,} rows without text skipped")
    if read and not documents:
        raise UserError(f"{' '.join(read[:3])}{' ...' * (len(read) > 3)}: empty, no text in it")
