"""Documents from files, folders, globs and http(s) addresses, one at a time.

in    paths and addresses of .txt .md .html .jsonl .parquet files, each also .gz
out   gather(sources) -> documents, str or (as they came) bytes; cleaning decodes them
see   downloads lie in out/downloads/: a broken one goes on where it stopped, a finished one is not fetched again
"""
import glob
import gzip
import http.client
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from hashlib import blake2b
from pathlib import Path

from run import UserError

PLAIN, MARKED_UP = (".txt", ".md"), (".html", ".htm")
KINDS = (*PLAIN, *MARKED_UP, ".jsonl", ".parquet")
LONGEST = 1 << 22                                                       # bytes; a longer .txt is cut between paragraphs, so that memory stays flat


# ---- which files

def kind_of(path):
    """".jsonl" for corpus.jsonl and corpus.jsonl.gz; the ending in small letters."""
    path = Path(path)
    return (Path(path.stem) if path.suffix.lower() == ".gz" else path).suffix.lower()


def files_of(source, cache):
    """The files that one source names, sorted. Raises UserError where there are none."""
    if source.startswith(("http://", "https://")):
        return [download(source, cache)]
    path = Path(source)
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.is_file() and kind_of(file) in KINDS)
        if not found:
            raise UserError(f"{source} holds no file that ends in {' '.join(KINDS)} (or these with .gz)")
        return found
    if path.is_file():
        return [path]
    found = sorted(Path(name) for name in glob.glob(source, recursive=True) if Path(name).is_file())
    if not found:
        raise UserError(f"{source} not found: --data takes files, folders, globs and http(s) addresses")
    return found


def inputs(sources):
    """What the shards depend on: [name, bytes, time of last change] for each file, the address alone for a download."""
    described = []
    for source in sources:
        if source.startswith(("http://", "https://")):
            described.append([source])
        else:
            described += [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files_of(source, None)]
    return described


# ---- downloads

class Broken(Exception):
    """The connection ended before the file did; trying again may help."""


def download(address, cache, tries=5, wait=1.0):
    """Fetches an address into the folder `cache` and returns the path; bytes that are there already are not fetched again.

    A dropped connection goes on from where it stopped (RFC 9110, section 14: Range, If-Range). Raises UserError.
    """
    name = Path(urllib.parse.urlsplit(address).path).name or "index.html"
    if kind_of(name) not in KINDS:
        name += ".html"
    path = Path(cache) / f"{blake2b(address.encode(), digest_size=4).hexdigest()}-{name}"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part, mark = path.with_name(path.name + ".part"), path.with_name(path.name + ".etag")
    for attempt in range(tries):
        had = part.stat().st_size if part.exists() else 0
        try:
            fetch(address, part, mark)
            part.replace(path)
            mark.unlink(missing_ok=True)
            return path
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 416, 429):
                raise UserError(f"{address}: the server says {error.code} {error.reason}") from None
            if error.code == 416:                                       # what we have is no beginning of what they have
                part.unlink(missing_ok=True)
            reason = f"{error.code} {error.reason}"
        except (OSError, http.client.HTTPException, Broken) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        more = (part.stat().st_size if part.exists() else 0) > had
        if attempt + 1 < tries:
            time.sleep(0 if more else wait * 2**attempt)
    raise UserError(f"{address} cannot be fetched ({reason}): check the address and the network; the same command goes on where it stopped")


def fetch(address, part, mark):
    """One request; appends to `part`. `mark` keeps the file's version (ETag or date), so that halves of two versions are never joined."""
    had = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "train_pretrain.py", "Accept-Encoding": "identity"}
    if had:
        headers["Range"] = f"bytes={had}-"
        if mark.exists():                                               # a server that names no version is taken at its word
            headers["If-Range"] = mark.read_text()
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as answer:
        goes_on = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {had}-")
        length = answer.headers.get("Content-Length")
        total = int(length) + (had if goes_on else 0) if length else None
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        mark.write_text(version) if version and not version.startswith("W/") else mark.unlink(missing_ok=True)
        with open(part, "ab" if goes_on else "wb") as file:
            size = had if goes_on else 0
            while chunk := answer.read1(1 << 20):
                file.write(chunk)
                size += len(chunk)
                show(address, size, total)
    if total is not None and size != total:
        raise Broken(f"{size} of {total} bytes came")


def show(address, size, total):
    if sys.stderr.isatty():
        print(f"\r\033[K{address}  {size / 1e6:.1f} MB" + (f" of {total / 1e6:.1f}" if total else ""), end="\n" if size == total else "", file=sys.stderr, flush=True)


# ---- documents of a file

def read_plain(file, path):
    """Bytes of at most LONGEST, cut after an empty line where there is one, else after a line."""
    rest = b""
    while chunk := file.read(LONGEST - len(rest)):
        rest += chunk
        if len(rest) < LONGEST:
            continue                                                    # a short read: a pipe, or the end
        cut = max(rest.rfind(b"\n\n") + 2, 2) if b"\n\n" in rest else rest.rfind(b"\n") + 1 or end_of_character(rest)
        yield rest[:cut]
        rest = rest[cut:]
    if rest:
        yield rest


def end_of_character(text):
    """The last place in UTF-8 bytes that does not cut a character: not before a continuation byte (10xxxxxx)."""
    place = len(text) - 1
    while place > len(text) - 4 and text[place] & 0xC0 == 0x80:
        place -= 1
    return max(1, place)


def read_jsonl(file, path, text_field):
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}:{number} is not JSON ({error}): each line needs {{\"{text_field}\": ...}}") from None
        if not isinstance(row, dict) or not isinstance(row.get(text_field), str):
            fields = f"it has {', '.join(map(str, row))}" if isinstance(row, dict) and row else "each line needs one"
            raise UserError(f"{path}:{number} has no text in \"{text_field}\" ({fields}): name the field with --text-field")
        yield row[text_field]


def read_parquet(path, text_field):
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise UserError(f"{path} needs pyarrow: `pip install pyarrow`, or give .jsonl") from None
    try:
        table = parquet.ParquetFile(path)
    except Exception as error:                                          # pyarrow raises its own kinds
        raise UserError(f"{path} cannot be read as parquet: {error}") from None
    if text_field not in table.schema_arrow.names:
        raise UserError(f"{path} has no column \"{text_field}\" (it has {', '.join(table.schema_arrow.names)}): name it with --text-field")
    for batch in table.iter_batches(batch_size=1024, columns=[text_field]):
        yield from (text for text in batch.column(0).to_pylist() if text is not None)


def read_documents(path, text_field="text"):
    """The documents of one file, one at a time: a line of .jsonl, a row of .parquet, else the whole file (a long .txt in pieces)."""
    kind = kind_of(path)
    if kind == ".parquet":
        if Path(path).suffix.lower() == ".gz":
            raise UserError(f"{path}: unpack it first (`gunzip`), parquet is compressed already and must be read from the middle")
        yield from read_parquet(path, text_field)
        return
    try:
        with gzip.open(path, "rb") if Path(path).suffix.lower() == ".gz" else open(path, "rb") as file:
            if kind == ".jsonl":
                yield from read_jsonl(file, path, text_field)
            elif kind in MARKED_UP:
                yield file.read()
            else:
                yield from read_plain(file, path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} cannot be unpacked ({error}): it is cut short or no gzip file; fetch it again") from None


def gather(sources, text_field="text", cache="out/downloads"):
    """Yields the documents of all sources in order, str or bytes. sources: iterable of paths, folders, globs, addresses. Raises UserError."""
    for source in sources:
        for path in files_of(str(source), cache):
            yield from read_documents(path, text_field)
