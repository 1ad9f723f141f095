"""The terminal: progress on stderr, tables and JSON on stdout, and how errors are told."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Timer
from typing import Any, NoReturn

from imccompiler.errors import ImcError

SHOW_AFTER_S = 1.0


@contextmanager
def progress_bar() -> Generator[Callable[[str, int, int], None]]:
    """A function to tell progress to as (step, done, in all).

    A bar appears on stderr if that is a terminal and the work takes more than a second.
    """
    if not sys.stderr.isatty():
        yield lambda _step, _done, _total: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("start", total=None)
    timer = Timer(SHOW_AFTER_S, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda step, done, total: bar.update(
            task, description=step, completed=done, total=total
        )
    finally:
        timer.cancel()
        timer.join()
        bar.stop()


def emit_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    json.dump(value, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def print_tables(*tables: Any) -> None:
    """Print rich renderables on stdout."""
    from rich.console import Console  # noqa: PLC0415

    console = Console()
    for table in tables:
        console.print(table)


def fail(error: Exception, *, debug: bool) -> NoReturn:
    """Tell an error on stderr and exit with its code: 2 the input, 3 does not fit, 1 ours."""
    if debug:
        traceback.print_exception(error)
    code = error.exit_code if isinstance(error, ImcError) else 1
    if isinstance(error, ImcError):
        sys.stderr.write(f"error: {error}\n")
    else:
        sys.stderr.write(f"error: {type(error).__name__}: {error}\n")
    if code == 1:
        sys.stderr.write(
            "This is a defect of imccompiler. Please report it to the project, with the command "
            "and what it prints as `imcc --debug ...`\n"
        )
    raise SystemExit(code)
