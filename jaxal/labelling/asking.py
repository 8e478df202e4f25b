"""What is asked next: a project's state as arguments of `suggest`, test images by lot, and what is pending."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxal.data.dataset import DataError
from jaxal.labelling.choosing import Chooser
from jaxal.labelling.log import Classifier
from jaxal.labelling.project import Entry, Project
from jaxal.labelling.state import Question, State

if TYPE_CHECKING:  # JAX is imported late
    from jaxal.suggestion import Suggestion

ATTEMPTS = 5  # of choosing again because somebody else has asked for the same images meanwhile
BY_LOT = (0.0, 0.0, 0.0)  # reasons of an image that nothing speaks for but the lot


class Pool(NamedTuple):
    """What a strategy sees of a project: all images but those that were removed, or set aside for testing."""

    images: np.ndarray  # [m] int
    labels: np.ndarray  # [m] int32, -1 where not known
    pending: np.ndarray  # [k] int, places in `images`


def pool_of(state: State) -> Pool:
    """The images to choose from and those that are labelled.

    Pending are those that are asked, and those that have answers and no label: disputed, unsure or unusable. They have
    been looked at, so what is like them is as little worth looking at as if they had labels.
    """
    images = np.array([i for i in state.live if not state.is_reserved(i)], int)
    labels = np.full(len(state.files), -1, np.int32)
    for image, label in state.trained().items():
        labels[image] = label
    waiting = np.zeros(len(state.files), bool)
    waiting[[*state.pending, *state.standing]] = True
    labels = labels[images]
    return Pool(images, labels, np.flatnonzero(waiting[images] & (labels < 0)))


def version_of(state: State, chooser: Chooser) -> str:
    """The name of the classifier that the present labels give: how many, and a hash of which."""
    total = hashlib.blake2b(digest_size=4)
    trained = state.trained()
    for image in sorted(trained):
        total.update(f"{image} {trained[image]} ".encode())
    pool = (len(state.files), sorted(state.removed), len(state.classes), chooser.classifier)
    total.update(repr(pool).encode())
    return f"{len(trained)}-{total.hexdigest()}"


class Advice(NamedTuple):
    """What a strategy said of a state, and of which."""

    version: str  # of its classifier
    labels: int  # that it was fitted to
    pool: Pool
    suggestion: "Suggestion"

    @property
    def classifier(self) -> Classifier | None:
        """To be stored; None where nothing was labelled."""
        return Classifier(self.version, self.labels, self.suggestion.head) if self.labels else None


def advise(project: Project, chooser: Chooser, n: int) -> Advice:
    """What the strategy says of the present state."""
    import jax

    with project.lock:
        state = project.refresh()
        pool = pool_of(state)
        version, labels = version_of(state, chooser), len(state.trained())
        key = jax.random.fold_in(jax.random.key(state.settings.seed), len(state.asked))
        classes = max(len(state.classes), 1)
    if not len(pool.images):
        return Advice(version, labels, pool, _no_suggestion(project.latents().shape[1], classes))
    prepared = project.prepared(pool.images, chooser)
    suggestion = chooser.suggest(prepared, pool.labels, n, classes=classes, pending=pool.pending, key=key)
    return Advice(version, labels, pool, suggestion)


def _no_suggestion(width: int, classes: int) -> "Suggestion":
    """Of a pool without images: all are set aside, say."""
    from jaxal.pools import Head
    from jaxal.suggestion import Suggestion

    none = np.zeros(0, np.int32)
    empty = np.zeros((0, classes), np.float32)
    head = Head(np.zeros((width, classes), np.float32), np.zeros(classes, np.float32))
    return Suggestion(none, np.zeros(0), none, empty, np.zeros((0, 3), np.float32), head)


def classifier_now(project: Project, chooser: Chooser) -> Classifier | None:
    """The classifier that the present labels give; stored, if it is new. None where nothing is labelled."""
    with project.lock:
        state = project.refresh()
        labels, known = len(state.trained()), project.classifier(version_of(state, chooser))
    if known is not None or not labels:
        return known
    classifier = advise(project, chooser, 0).classifier
    project.write(lambda state: [], classifier)
    return classifier


def _nowhere(questions: list[Question], version: str) -> None:
    """Questions that whoever asks is handed by `ask` itself."""


def ask(
    project: Project,
    chooser: Chooser,
    n: int,
    who: str,
    deliver: Callable[[list[Question], str], None] = _nowhere,
) -> list[Question]:
    """Chooses up to n images, and records that `who` was asked; fewer where fewer are left.

    First come those about which annotators disagree, then every so many by lot, for testing, and else what the strategy
    wants. Nothing that is pending is asked again until it expires, and two that ask at once are given different images.

    `deliver` (questions, classifier's version) hands them over before it is recorded that they were asked: what it
    raises leaves them unasked, rather than asked and seen by nobody. It is called again where others were faster.
    """
    _expire(project, who)
    for _ in range(ATTEMPTS):
        advice = advise(project, chooser, n)
        questions = _questions(project, n, advice)

        if questions:
            deliver(questions, advice.version)

        def decide(state: State, questions: list[Question] = questions, version: str = advice.version) -> list[Entry]:
            if not questions or not all(_is_free(state, state.place[question.file]) for question in questions):
                return []
            body = {"policy": chooser.name, "classifier": version, "questions": [q._asdict() for q in questions]}
            return [Entry(who, "asked", body)]

        if project.write(decide, advice.classifier) or not questions:
            return questions
    raise DataError(f"{project.folder}: others have asked for the same images {ATTEMPTS} times meanwhile; try again")


def overdue(state: State) -> list[str]:
    """Files that were asked for longer ago than the project waits."""
    last = datetime.now(UTC) - timedelta(hours=state.settings.expire_hours)
    return [state.files[i] for i, since in state.pending.items() if datetime.fromisoformat(since) < last]


def _expire(project: Project, who: str) -> None:
    if overdue(project.refresh()):
        project.write(lambda state: [Entry(who, "expired", {"files": files})] if (files := overdue(state)) else [])


def _is_free(state: State, image: int) -> bool:
    standing = state.standing.get(image)
    return image not in state.pending and image not in state.removed and (not standing or standing.kind == "disputed")


def _questions(project: Project, n: int, advice: Advice) -> list[Question]:
    """The n questions in order, of what the strategy wants, what the lot wants and what is disputed."""
    pool, found = advice.pool, advice.suggestion
    # JSON has neither infinity nor NaN
    scores = dict(zip(pool.images[found.rows].tolist(), np.nan_to_num(found.scores).tolist(), strict=True))
    reasons = dict(zip(scores, np.nan_to_num(found.reasons).tolist(), strict=True))
    wanted = list(scores)
    with project.lock:
        state = project.state
        again = [image for image in state.disputed() if image not in state.pending][:n]
        reserved = [i for i in range(len(state.files)) if state.is_reserved(i) and _is_free(state, i)]
        drawn = sorted(set(reserved) - set(again), key=lambda image: (state.lots[image], state.digests[image]))
        asked, tested = len(state.asked), sum(map(state.is_reserved, state.asked))
        order = list(again)
        while len(order) < n and (wanted or drawn):
            due = drawn and tested < state.settings.test_share * (asked + 1) - 0.5
            order.append(drawn.pop(0) if due or not wanted else wanted.pop(0))
            tested += state.is_reserved(order[-1])
            asked += 1
        latents = np.asarray(project.latents()[order])
        known = advice.labels > 0 and len(order) > 0
        probabilities = found.head.probabilities(latents) if known else np.zeros((len(order), 1))
        return [
            Question(
                file=state.files[image],
                score=round(scores.get(image, 0.0), 6),
                predicted=state.classes[int(np.argmax(row))] if known else None,
                probability=round(float(np.max(row)), 4),
                reasons=[round(value, 3) for value in reasons.get(image, BY_LOT)],
                testing=state.is_reserved(image),
                again=image in again,
            )
            for image, row in zip(order, probabilities, strict=True)
        ]
