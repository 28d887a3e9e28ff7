"""placeholder"""
from pathlib import Path
import run

def gather(sources, text_field="text", cache="out/downloads"):
    for source in sources:
        path = Path(source)
        if not path.is_file():
            raise run.UserError(f"{source} not found: --data takes files, folders, globs and http(s) addresses")
        yield path.read_bytes()

def inputs(sources, cache="out/downloads"):
    return [[str(s), Path(s).stat().st_size, Path(s).stat().st_mtime_ns] for s in sources]
