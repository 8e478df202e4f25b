"""How much memory banks take, worked out before they are made, and how much there is."""

from collections.abc import Mapping
from pathlib import Path

import jax

from jaxal.tasks.banks import Shape
from jaxal.tasks.distances import Distance
from jaxal.tasks.task import Needs, held

SPARE = 0.9  # share of the free memory that may be asked for: the rest is for compilation and for what comes and goes
FULL = ("RESOURCE_EXHAUSTED", "Out of memory")  # how XLA tells it, on GPUs and on CPUs
CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "inactive_file"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "total_inactive_file",
    ),
)
"""Files of Linux's control groups, versions 2 and 1: limit, use, and the name of what is only cached."""


def bank_bytes(tasks: int, shape: Shape, latent_size: int, distance: Distance, needs: Needs) -> int:
    """Bytes of so many tasks, their images aside."""
    sizes = (shape.pool, shape.state, sum(shape.holdouts))
    gram, latents = held(sizes, distance, needs)
    rows = sum(sizes)
    return 4 * tasks * (rows + 6 * shape.pool + gram * shape.pool * rows + latents * rows * (latent_size + 1))


def available() -> int | None:
    """Bytes of memory that the device has to give; None where that cannot be found out."""
    limits = jax.devices()[0].memory_stats()
    if limits and "bytes_limit" in limits:
        return int(limits["bytes_limit"] - limits.get("bytes_in_use", 0))
    found = [free for free in (_of_the_machine(), _of_the_container()) if free is not None]
    return min(found, default=None)


def _of_the_machine() -> int | None:
    """What Linux says can be had without swapping."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        return None


def _of_the_container() -> int | None:
    """What is left of a limit by control groups, where there is one; files that are cached count as free."""
    for limit, used, cached in CGROUPS:
        try:
            most, now = (int(Path(path).read_text()) for path in (limit, used))
            pages = dict(line.split() for line in Path(used).with_name("memory.stat").read_text().splitlines())
            return most - now + int(pages.get(cached, 0))
        except (OSError, ValueError):  # not this version, or no limit ("max")
            continue
    return None


def ran_out(error: BaseException) -> bool:
    """Whether an error says that there was not memory enough."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in FULL)


def told(needed: Mapping[str, int], free: int) -> str:
    """What takes how much, and what there is, in words."""
    parts = ", ".join(f"{what} {size / 1e6:,.0f} MB" for what, size in needed.items())
    return f"{parts}, together {sum(needed.values()) / 1e6:,.0f} MB of {free / 1e6:,.0f} MB that are free"
