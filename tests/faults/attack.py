"""`python -m tests.faults.attack CASE FOLDER KINDS AT...`: a command with a fault before its n-th file operation.

Started with the shim loaded, see `shim.c`. Everything is imported once, by a run without a fault; each attempt is a
fork of that. Prints a line of JSON for each attempt, and first one with the number of operations.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import mmap
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

from tests.faults.cases import CASES, as_text, quietly_in

COUNT, KILL, FULL = 0, 1, 2
KINDS = {"count": COUNT, "kill": KILL, "full": FULL}
LIMIT = 180.0  # seconds that an attempt may take


def main() -> None:
    name, place, kinds, *points = sys.argv[1:]
    case, folder = CASES[name](), Path(place)
    template, work = folder / "template", folder / "work"
    template.mkdir(parents=True)
    case.prepare(template)
    shutil.copytree(template, folder / "warm")
    quietly_in(folder / "warm", case.command)  # imports all there is to import
    status, said = attempt(case, template, work, COUNT, -1)
    assert status == 0, said
    total = operations()
    expected = as_text(case.result(work))
    print(json.dumps({"operations": total}), flush=True)
    for kind, at in itertools.product(kinds.split(","), chosen(points, total)):
        status, said = attempt(case, template, work, KINDS[kind], at)
        found = {
            "kind": kind,
            "at": at,
            "status": status,
            "said": said[-2000:],
            "strays": case.strays(work),
            "wrong": "",
        }
        try:
            case.survives(work)
            done = is_done(case, work, expected)
            again, more = run(case, work)
            # What was complete before the fault is not made twice unless the command says so.
            assert again == 0 or done, f"the same command again: status {again}: {more[-1500:]}"
            assert as_text(case.result(work)) == expected, "the same command again gives something else"
            assert not case.strays(work), f"left behind: {case.strays(work)}"
        except Exception:  # noqa: BLE001  is what was looked for
            found["wrong"] = traceback.format_exc()[-3000:]
        print(json.dumps(found), flush=True)


def is_done(case, work: Path, expected: str) -> bool:
    try:
        return as_text(case.result(work)) == expected
    except Exception:  # noqa: BLE001  whatever it is, it is not done
        return False


def chosen(points: list[str], total: int) -> list[int]:
    """The numbers of operations: `all`, or those at some percent of them."""
    if points == ["all"]:
        return list(range(total))
    return sorted({min(int(float(point) / 100 * total), total - 1) for point in points})


def attempt(case, template: Path, work: Path, kind: int, at: int) -> tuple[int, str]:
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(template, work)
    return run(case, work, kind, at)


def run(case, work: Path, kind: int | None = None, at: int = -1) -> tuple[int, str]:
    """The command in a process of its own; its status (negative for a signal) and what it said on standard error."""
    log = work.parent / "said.txt"
    set_operations(0)
    process = os.fork()
    if process == 0:
        child(case, work, kind, at, log)
    deadline = time.monotonic() + LIMIT
    while (ended := os.waitpid(process, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return 99, "took too long"
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(ended[1]), log.read_text()


def child(case, work: Path, kind: int | None, at: int, log: Path) -> None:
    os.setsid()  # a kill is of the whole group, as when a machine dies
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.chdir(work)
    status = 70
    try:
        if kind is not None:
            os.environ |= {"FAULT_ROOT": str(work), "FAULT_KIND": str(kind), "FAULT_AT": str(at)}
            ctypes.CDLL(None).fault_arm(str(work).encode(), kind, ctypes.c_long(at))
        case.command()
        status = 0
    except SystemExit as leave:
        status = leave.code if isinstance(leave.code, int) else 1
    except BaseException:  # noqa: BLE001  as the interpreter does
        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def counter() -> mmap.mmap:
    with open(os.environ["FAULT_COUNTER"], "r+b") as file:
        return mmap.mmap(file.fileno(), 8)


def operations() -> int:
    return int.from_bytes(counter()[:8], "little")


def set_operations(number: int) -> None:
    counter()[:8] = number.to_bytes(8, "little")


if __name__ == "__main__":
    main()
