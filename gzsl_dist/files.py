"""Files that are whole or absent, never half written."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from gzsl_dist.errors import InputError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text (as UTF-8) or bytes beside, fsync them, and rename them into place.

    Raises:
        InputError: it cannot be written; an older file stays as it was.
    """
    partial = path.parent / f".writing-{path.name}-{os.getpid()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None


def read_json_object(path: Path, remedy: str) -> dict[str, Any]:
    """A JSON file's object.

    Raises:
        InputError: missing, unreadable or no object; `remedy` says what to do.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    except ValueError:
        raise InputError(f"{path}: damaged, not JSON; {remedy}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: damaged, holds no object; {remedy}")
    return values
