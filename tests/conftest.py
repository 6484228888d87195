"""The real data folder, which is not part of the repository; and the option --fast."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="on several processes: only on two")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --fast, tests that are run on several numbers of processes are run on two."""
    if config.getoption("fast"):
        left_out = [item for item in items if number_of_processes(item) not in (None, 2)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def number_of_processes(item: pytest.Item) -> int | None:
    """By the parameters of a test: a number, or a case that has one."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    case = getattr(parameters.get("case"), "world_size", None)
    return parameters.get("world_size", parameters.get("done", case))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """``shared/data`` beside the checkout, or GZSL_SHARED_DATA; needed in CI, else skipped."""
    folder = Path(os.environ.get("GZSL_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        message = f"no real data at {folder}; set GZSL_SHARED_DATA"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder
