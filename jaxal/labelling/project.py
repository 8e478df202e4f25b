"""An open project: its log, what follows from it, and the latents of its images."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxal.labelling import images, surveys
from jaxal.labelling.choosing import Chooser
from jaxal.labelling.log import Classifier, Log
from jaxal.labelling.state import State

if TYPE_CHECKING:  # JAX is imported late
    from jaxal.pools import PreparedPool


class Entry(NamedTuple):
    """An event to be."""

    who: str
    kind: str
    body: dict[str, Any]


class Project:
    """A project's folder, opened. Threads may share it; every process opens its own.

    Raises:
      DataError: one line, where the folder holds no project or cannot be read or written.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.lock = threading.RLock()
        self._log = Log(folder)
        self.state = State()
        self._latents: tuple[int, np.ndarray] | None = None
        self._prepared: tuple[str, PreparedPool] | None = None
        self._preparing = threading.Lock()  # beside `lock`: it takes long, and answers come in meanwhile
        self.refresh()

    def __enter__(self) -> "Project":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the log."""
        with self.lock:
            self._log.close()

    def refresh(self) -> State:
        """Takes in what others have appended."""
        with self.lock:
            self.state.apply(self._log.after(self.state.last))
            return self.state

    def write(self, decide: Callable[[State], list[Entry]], classifier: Classifier | None = None) -> list[Entry]:
        """Appends what `decide` makes of the state as it is while no other process can write; all of it or nothing.

        Returns the entries, once they are on the disk. `classifier` is stored beside them.
        """
        with self.lock:
            with self._log.writing() as append:
                entries = decide(self.refresh())
                for entry in entries:
                    append(*entry)
                if classifier is not None:
                    self._log.keep(classifier)
            self.refresh()
            return entries

    @property
    def image_folder(self) -> Path | None:
        """Where the images are; None for rows without pictures."""
        return Path(self.state.settings.images) if self.state.settings.images else None

    @property
    def cache(self) -> Path:
        """The folder of latents."""
        return self.folder / images.LATENTS

    def latents(self) -> np.ndarray:
        """Latents [m, D] float32 of all images that ever came in."""
        with self.lock:
            parts = self.state.latents
            if self._latents is None or self._latents[0] != len(parts):
                self._latents = (len(parts), images.open_latents(self.cache, parts))
            return self._latents[1]

    def prepared(self, pool: np.ndarray, chooser: Chooser) -> "PreparedPool":
        """The images `pool` [m] int, prepared for the chooser; it stays in memory, and what takes long on the disk."""
        with self.lock:
            latents, digests = self.latents(), [self.state.digests[image] for image in pool]
        name = surveys.name_of(digests, chooser.classifier)
        with self._preparing:
            if self._prepared is None or self._prepared[0] != name:
                self._prepared = None  # so that there are never two of them in memory
                own = latents if len(pool) == len(latents) else latents[pool]
                self._prepared = (name, surveys.prepare(self.cache, name, own, chooser))
            return self._prepared[1]

    def classifiers(self) -> list[Classifier]:
        """Those that it was asked by, oldest first."""
        with self.lock:
            return self._log.classifiers()

    def classifier(self, version: str) -> Classifier | None:
        """One of them."""
        with self.lock:
            return self._log.classifier(version)
