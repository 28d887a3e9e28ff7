"""Documents from files, folders, globs and http(s) addresses, one at a time.

in    paths and addresses of .txt .md .html .jsonl .parquet files, each also .gz
out   gather(sources) -> documents, str or (as they came) bytes; cleaning decodes them
see   what was fetched lies in out/downloads/ and is not fetched again
"""
import glob
import gzip
import http.client
import json
import zlib
from hashlib import blake2b
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import run
from run import UserError

KINDS = (".txt", ".md", ".html", ".htm", ".jsonl", ".parquet")
LONGEST = 1 << 22  # bytes; a longer .txt is cut between paragraphs, so that memory stays flat
PATIENCE = 30  # seconds for a server that sends nothing


# ---- bytes -> text
UTF16_MARKS = b"\xff\xfe", b"\xfe\xff"


def decode_bytes(text):
    """UTF-16 by its mark; UTF-8, a few bad bytes lost; else Windows-1252, the web's word for all
    the rest (WHATWG Encoding, section 4.2)."""
    if isinstance(text, str):
        return text
    if text.startswith(UTF16_MARKS):
        return text.decode("utf-16", "replace")
    decoded = text.decode("utf-8-sig", "replace")
    lost = decoded.count("\ufffd")
    if not lost:
        return decoded
    good = sum(char > "\x7f" for char in decoded) - lost  # hardly ever right by chance
    return decoded if good >= lost else text.decode("cp1252", "replace")


# ---- which files
def is_address(source):
    return source.startswith(("http://", "https://"))


def is_packed(path):
    return Path(path).suffix.lower() == ".gz"


def kind_of(path):
    """".jsonl" for corpus.jsonl and corpus.jsonl.gz; the ending in small letters."""
    name = Path(path).stem if is_packed(path) else path
    return Path(name).suffix.lower()


def files_of(source):
    """The files that a path or glob names, sorted. Raises UserError where there are none."""
    path = Path(source)
    if path.is_file():
        return [path]
    if path.is_dir():
        found = [file for file in path.rglob("*") if file.is_file() and kind_of(file) in KINDS]
        mistake = f"{source} holds no file that ends in {' '.join(KINDS)} (or these with .gz)"
    else:
        found = [Path(name) for name in glob.glob(source, recursive=True) if Path(name).is_file()]
        mistake = f"{source} not found: --data takes files, folders, globs and http(s) addresses"
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
    name = Path(urlsplit(address).path).name or "index.html"
    if kind_of(name) not in KINDS:
        name += ".html"
    path = Path(folder) / f"{blake2b(address.encode(), digest_size=4).hexdigest()}-{name}"
    if not path.exists():
        try:
            with run.atomic(path) as temporary:
                fetch(address, temporary)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise UserError(f"{address} cannot be fetched ({str(error) or type(error).__name__}): "
                            "fetch it with curl or wget, and give the file") from None
    return path


def fetch(address, path):
    request = Request(address, headers={"User-Agent": "train_pretrain.py"})
    with urlopen(request, timeout=PATIENCE) as answer, open(path, "wb") as file:
        total = int(answer.headers.get("Content-Length") or 0)  # 0: the server does not say
        progress = run.Progress(total, name=f"{address} byte")
        while block := answer.read(1 << 20):
            file.write(block)
            if total:
                progress.report(file.tell())
        if total and file.tell() != total:
            raise OSError(f"{file.tell()} of {total} bytes came")


# ---- documents of a file
def read_plain(file):
    """Bytes of at most LONGEST, cut after an empty line where there is one, else after a line."""
    rest = b""
    while fresh := file.read(LONGEST - len(rest)):
        rest += fresh
        if len(rest) < LONGEST:
            continue  # a short read: a pipe, or the end
        cut = last_break(rest)
        yield rest[:cut]
        rest = rest[cut:]
    if rest:
        yield rest


def last_break(text):
    """The last place where UTF-8 bytes are best cut: a paragraph's end, a line's, a character's."""
    for end in (b"\n\n", b"\n"):
        if end in text:
            return text.rindex(end) + len(end)
    place = len(text) - 1
    while place > len(text) - 4 and text[place] & 0xC0 == 0x80:  # 10xxxxxx goes on with one
        place -= 1
    return max(1, place)


def read_jsonl(file, path, text_field):
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}:{number} is not JSON ({error}): "
                            f'each line needs {{"{text_field}": ...}}') from None
        if not isinstance(row, dict) or not isinstance(row.get(text_field), str):
            known = isinstance(row, dict) and ", ".join(row)
            has = f"it has {known}" if known else "each line needs one"
            raise UserError(f'{path}:{number} has no text in "{text_field}" ({has}): '
                            "name the field with --text-field")
        yield row[text_field]


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
    columns = table.schema_arrow.names
    if text_field not in columns:
        raise UserError(f'{path} has no column "{text_field}" (it has {", ".join(columns)}): '
                        "name it with --text-field")
    for batch in table.iter_batches(batch_size=1024, columns=[text_field]):
        yield from (text for text in batch.column(0).to_pylist() if text is not None)


def read_documents(path, text_field="text"):
    """The lines of .jsonl, the rows of .parquet, else the whole file (a long .txt in parts)."""
    kind = kind_of(path)
    if kind == ".parquet":
        yield from read_parquet(path, text_field)
        return
    try:
        with gzip.open(path, "rb") if is_packed(path) else open(path, "rb") as file:
            if kind == ".jsonl":
                yield from read_jsonl(file, path, text_field)
            elif kind in (".html", ".htm"):
                yield file.read()
            else:
                yield from read_plain(file)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} cannot be unpacked ({error}): it is cut short or no gzip file; "
                        "fetch it again") from None


def gather(sources, text_field="text", cache="out/downloads"):
    """Yields the documents of all sources in order, str or bytes. Raises UserError.

    sources: iterable of paths, folders, globs, addresses; cache: where downloads go.
    """
    for source in map(str, sources):
        files = [download(source, cache)] if is_address(source) else files_of(source)
        for path in files:
            yield from read_documents(path, text_field)
