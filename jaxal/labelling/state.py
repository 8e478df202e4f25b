"""What follows from a project's log: images, classes, who said what, what is asked and not answered yet.

The state is a fold over the events and nothing else, so a project that was killed, copied or read by another process
is the same project. Images are numbered in the order in which they came, for good; so are classes.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jaxal.data.depth import Scale
from jaxal.labelling.log import Event

KINDS = (
    "started",  # the project's settings: see `Settings`
    "images_added",  # files, digests, groups (or null), latents: the file that holds theirs, scales: see `State.scales`
    "images_removed",  # files
    "class_added",  # name
    "class_renamed",  # name, to
    "asked",  # policy, classifier, questions: see `Question`
    "expired",  # files that were asked and not answered in time
    "answered",  # file, label, origin, source, policy, classifier
    "corrected",  # as answered, where the same person had given another answer
    "withdrawn",  # file: the answer of that person
)
UNSURE, UNUSABLE, WITHDRAWN = "unsure", "unusable", "withdrawn"
RESERVED = (UNSURE, UNUSABLE, WITHDRAWN)  # what an answer may be beside the name of a class
RULE = (
    "the label that more than half of the annotators give, each with their latest answer; who is unsure has no vote. "
    "Without one the image is asked again, and counts as unlabelled until then"
)


class Settings(NamedTuple):
    """What a project is started with."""

    images: str  # folder, absolute; empty where the rows are features without pictures
    table: str  # the .npz file of latents, absolute; empty where images are embedded
    reading: dict[str, Any]  # of `config.Reading`; empty where a table brought latents
    strategy: str  # by name, or the folder of a saved policy
    test_share: float
    expire_hours: float
    seed: int


class Part(NamedTuple):
    """Images that came in together."""

    file: str  # that holds their latents
    images: int


class Question(NamedTuple):
    """An image that somebody was asked about."""

    file: str
    score: float  # of the strategy
    predicted: str | None  # class, by the classifier that asked; None where no class was known
    probability: float  # of that class
    reasons: Sequence[float]  # [3] `choosing.REASONS`
    testing: bool  # drawn by lot, for testing alone
    again: bool  # because annotators disagree


class Asked(NamedTuple):
    """A question and its circumstances."""

    question: Question
    at: str
    policy: str
    classifier: str


class Answer(NamedTuple):
    """What one person says of one image: the number of a class, `UNSURE` or `UNUSABLE`."""

    label: int | str
    at: str
    event: int


class Standing(NamedTuple):
    """What all answers to an image come to, by `RULE`."""

    kind: str  # "labelled", "unusable", "unsure", "disputed"
    label: int = -1  # class, where labelled


@dataclass
class State:
    """Everything that the log says. `apply` brings it up to date; nothing else changes it."""

    last: int = 0  # id of the last event
    settings: Settings = field(default_factory=lambda: Settings("", "", {}, "", 0.0, 0.0, 0))
    files: list[str] = field(default_factory=list)  # [m] path below the folder, or the name of a row
    digests: list[str] = field(default_factory=list)  # [m]
    groups: list[str | None] = field(default_factory=list)  # [m]
    lots: list[float] = field(default_factory=list)  # [m] in [0, 1): see `draw_lot`
    latents: list[Part] = field(default_factory=list)  # of all images, in order
    scales: dict[str, Scale] = field(default_factory=dict)  # black and white of deep images, as first seen, for good
    place: dict[str, int] = field(default_factory=dict)  # file -> image
    removed: set[int] = field(default_factory=set)
    classes: list[str] = field(default_factory=list)
    answers: dict[int, dict[str, Answer]] = field(default_factory=dict)  # image -> person -> latest answer
    standing: dict[int, Standing] = field(default_factory=dict)  # of every image with an answer
    asked: dict[int, Asked] = field(default_factory=dict)  # image -> last question
    pending: dict[int, str] = field(default_factory=dict)  # image -> since when
    origins: set[str] = field(default_factory=set)  # of every answer: what makes it the same when it is told again
    sources: dict[str, tuple[int, str]] = field(default_factory=dict)  # foreign id -> image, person

    def apply(self, events: Iterable[Event]) -> None:
        """Takes later events in."""
        for event in events:
            getattr(self, f"_{event.kind}")(event, **event.body)
            self.last = event.id

    def is_reserved(self, image: int) -> bool:
        """Whether the image is set aside for testing, and so never trained on."""
        return self.lots[image] < self.settings.test_share

    @property
    def live(self) -> list[int]:
        """All images that were not removed."""
        return [image for image in range(len(self.files)) if image not in self.removed]

    def tested(self) -> dict[int, int]:
        """Image -> class, of the images by which the classifier is judged: set aside by lot, asked for, and labelled.

        An image that was set aside and labelled without having been asked for is none of them: somebody chose it.
        """
        return {
            image: standing.label
            for image, standing in self.standing.items()
            if standing.kind == "labelled"
            and self.is_reserved(image)
            and image in self.asked
            and image not in self.removed
        }

    def trained(self) -> dict[int, int]:
        """Image -> class, of the images that the classifier is fitted to."""
        return {
            image: standing.label
            for image, standing in self.standing.items()
            if standing.kind == "labelled" and not self.is_reserved(image) and image not in self.removed
        }

    def counts(self) -> Counter[str]:
        """Images by what their answers come to, and the open ones."""
        found = Counter(standing.kind for image, standing in self.standing.items() if image not in self.removed)
        found["open"] = len(self.files) - len(self.removed) - found.total()
        return found

    def disputed(self) -> list[int]:
        """Images about which annotators disagree, in the order of their last answers."""
        torn = [i for i, standing in self.standing.items() if standing.kind == "disputed" and i not in self.removed]
        return sorted(torn, key=lambda image: max(answer.event for answer in self.answers[image].values()))

    def name(self, label: int | str) -> str:
        """An answer in words."""
        return self.classes[label] if isinstance(label, int) else label

    # What each kind of event does.

    def _started(self, event: Event, **settings: Any) -> None:
        del event
        self.settings = Settings(**settings)

    def _images_added(
        self,
        event: Event,
        files: list[str],
        digests: list[str],
        groups: list[str] | None,
        latents: str,
        scales: dict[str, list[float]],
    ) -> None:
        del event
        self.scales = {kind: Scale(*scale) for kind, scale in scales.items()} | self.scales  # the first seen stay
        groups_: list[str | None] = [None] * len(files) if groups is None else [*groups]
        for file, digest, group in zip(files, digests, groups_, strict=True):
            self.place[file] = len(self.files)
            self.files.append(file)
            self.digests.append(digest)
            self.groups.append(group)
            self.lots.append(draw_lot(self.settings.seed, file if group is None else group))
        self.latents.append(Part(latents, len(files)))

    def _images_removed(self, event: Event, files: list[str]) -> None:
        del event
        for file in files:
            self.removed.add(self.place[file])
            self.pending.pop(self.place[file], None)

    def _class_added(self, event: Event, name: str) -> None:
        del event
        self.classes.append(name)

    def _class_renamed(self, event: Event, name: str, to: str) -> None:
        del event
        self.classes[self.classes.index(name)] = to

    def _asked(self, event: Event, policy: str, classifier: str, questions: list[dict[str, Any]]) -> None:
        for body in questions:
            question = Question(**body)
            image = self.place[question.file]
            self.asked[image] = Asked(question, event.at, policy, classifier)
            self.pending[image] = event.at

    def _expired(self, event: Event, files: list[str]) -> None:
        del event
        for file in files:
            self.pending.pop(self.place[file], None)

    def _answered(self, event: Event, file: str, label: str, origin: str, source: str | None, **_: Any) -> None:
        image = self.place[file]
        value = label if label in (UNSURE, UNUSABLE) else self.classes.index(label)
        self.answers.setdefault(image, {})[event.who] = Answer(value, event.at, event.id)
        self.pending.pop(image, None)
        self.origins.add(origin)
        if source is not None:
            self.sources[source] = (image, event.who)
        self._settle(image)

    _corrected = _answered

    def _withdrawn(self, event: Event, file: str, origin: str) -> None:
        image = self.place[file]
        self.answers.get(image, {}).pop(event.who, None)
        self.origins.add(origin)
        self._settle(image)
        if image not in self.standing and image in self.asked and image not in self.removed:
            self.pending[image] = event.at  # it was asked, and is not answered any more

    def _settle(self, image: int) -> None:
        answers = self.answers.get(image)
        if answers:
            self.standing[image] = settle([answer.label for answer in answers.values()])
        else:
            self.answers.pop(image, None)
            self.standing.pop(image, None)


def settle(labels: Iterable[int | str]) -> Standing:
    """What the latest answers of all annotators to one image come to, by `RULE`."""
    votes = Counter(label for label in labels if label != UNSURE)
    if not votes:
        return Standing("unsure")
    label, most = votes.most_common(1)[0]
    if 2 * most <= votes.total():
        return Standing("disputed")
    return Standing("labelled", label) if isinstance(label, int) else Standing("unusable")


def draw_lot(seed: int, name: str) -> float:
    """A number in [0, 1), uniform over names, the same whenever and wherever it is drawn.

    The images with the smallest are set aside for testing. Those of one group (a patient) share theirs.
    """
    value = hashlib.blake2b(f"{seed} {name}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(value) / 2**64
