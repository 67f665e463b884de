"""Reading files that were broken on purpose, many thousand times, within limits of time and memory.

A mutation hangs on a seed and its number alone, so a failure can be had again: its message names both.
"""

from __future__ import annotations

import resource
import secrets
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from anomri.errors import InputError

__all__ = ["FIXED_SEED", "Fuzzed", "Mutate", "fresh_seed", "fuzz"]

FIXED_SEED = 20261127
MEMORY_BYTES = 96 << 20
CPU_S = 2.0

# Files by name, the first of which is read.
Mutate = Callable[[np.random.Generator], Mapping[str, bytes]]


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """How many files were read, and how many refused by code."""

    read: int
    refused: Counter[str]


def fresh_seed() -> int:
    """Another seed each time; a failure prints it."""
    return secrets.randbits(32)


def fuzz(
    mutate: Mutate,
    read: Callable[[Path], object],
    folder: Path,
    *,
    seed: int,
    count: int,
    memory_bytes: int = MEMORY_BYTES,
    cpu_s: float = CPU_S,
) -> Fuzzed:
    """Read `count` mutated files; each must be read, or refused by an `InputError`.

    Parameters
    ----------
    read : reads one file, and raises AssertionError where what it got is not sound.
    memory_bytes : how far the address space of this process may grow meanwhile.
    cpu_s : computing time that one file may take; a busy machine does not count.

    Raises
    ------
    AssertionError : with seed and number of the mutation, and its files left in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    well, refused = 0, Counter[str]()
    with _memory(memory_bytes):
        for number in range(count):
            files = mutate(np.random.default_rng([seed, number]))
            for name, content in files.items():
                (folder / name).write_bytes(content)
            first = folder / next(iter(files))
            try:
                with _computing(cpu_s):
                    read(first)
                well += 1
            except InputError as error:
                refused[error.code] += 1
            except BaseException as error:
                error.add_note(f"mutation {number} of seed {seed}: {first}")
                raise AssertionError(f"mutation {number} of seed {seed} gave {error!r}") from error
            for name in files:
                (folder / name).unlink()
    return Fuzzed(well, refused)


@contextmanager
def _memory(growth_bytes: int) -> Iterator[None]:
    """Let allocations beyond so much more than now fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + growth_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def _computing(limit_s: float) -> Iterator[None]:
    """Interrupt what computes for longer."""

    def give_up(_number: int, _frame: object) -> None:
        raise TimeoutError(f"more than {limit_s:g} s")

    before = signal.signal(signal.SIGPROF, give_up)
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
