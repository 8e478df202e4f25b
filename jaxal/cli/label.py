"""What `jaxal next` and `jaxal label` do, from their flags to the lines that they print."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from jaxal.cli import label_flags as flags
from jaxal.files import expanded
from jaxal.labelling import commands

# Programs that were compiled are kept, as most of these commands would take longer to compile than to run.
COMPILED = {
    "JAX_COMPILATION_CACHE_DIR": "~/.cache/jaxal/compiled",
    "JAX_COMPILATION_CACHE_MAX_SIZE": str(2**30),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
}
DO: dict[type[flags.LabelRequest], Callable[..., Sequence[str]]] = {
    flags.Next: commands.next_batch,
    flags.Start: commands.start,
    flags.Ask: commands.next_,
    flags.Add: commands.add,
    flags.Status: commands.status,
    flags.Export: commands.export,
    flags.Predict: commands.predict,
    flags.Serve: commands.serve,
    flags.Backend: commands.backend,
    flags.Images: commands.look_again,
    flags.Classes: commands.change_classes,
}
"""Functions whose parameters are called as the flags."""


def execute(request: flags.LabelRequest) -> None:
    """Does what was asked for, and prints what there is to say.

    Raises:
      ValueError, SettingError, OSError: one line, for whatever was given wrongly; nothing has been written then.
    """
    with suppress(ValueError):  # nobody's home
        for name, value in COMPILED.items():
            os.environ.setdefault(name, str(expanded(value)))
    given: dict[str, Any] = vars(request)
    try:
        for line in DO[type(request)](**given):
            print(line)
    except (MemoryError, RuntimeError) as error:
        from jaxal.tasks import memory  # JAX is there already, where its memory ran out

        if memory.ran_out(error):
            raise ValueError("out of memory; take fewer images") from None
        raise
