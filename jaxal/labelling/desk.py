"""The desk that several people label at: who has which image in hand, and the next batch while they label.

What counts is in the log; what is only here (who looks at what right now) may be lost at any time.
"""

import threading
import time
from typing import Any, NamedTuple

from jaxal.data.dataset import DataError
from jaxal.labelling.answers import Told, check_class, record
from jaxal.labelling.asking import ask
from jaxal.labelling.choosing import Chooser
from jaxal.labelling.project import Entry, Project
from jaxal.labelling.state import State
from jaxal.labelling.status import status
from jaxal.labelling.tables import reason

HELD = 120.0  # seconds that an image stays with a person of whom nothing is heard
RETRY = 5.0  # seconds until it is tried again after there was nothing to ask, or an error
PATIENCE = 2.0  # seconds that a request waits for a batch that is being chosen


class Hand(NamedTuple):
    """An image in somebody's hands."""

    who: str
    since: float
    asked: str  # when it was asked for; once it is asked anew, because people disagree, it is anybody's


class Desk:
    """Hands out images, takes answers, and has the next batch chosen in a thread of its own."""

    def __init__(self, project: Project, chooser: Chooser, batch: int, who: str):
        self._project, self._chooser = project, chooser
        self._batch, self._who = batch, who
        self._changed = threading.Condition(project.lock)
        self._hands: dict[int, Hand] = {}  # image -> who has it
        self._skipped: dict[str, list[int]] = {}
        self._redo: dict[str, list[int]] = {}  # images whose answers a person has just withdrawn, the last one first
        self._seen: dict[str, float] = {}  # person -> when last heard of
        self._summary: dict[str, Any] = {}  # of `status`, once it is known
        self._judged = -batch  # answers that there were when it was
        self._problem = ""
        self._left = True  # whether there was anything left to ask the last time
        self._tried = (-1, 0.0)  # event after which that was, and when
        self._closing = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread, after the batch that it is about to choose."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def next(self, who: str, count: int) -> list[dict[str, Any]]:
        """Up to `count` questions for a person, those in hand first; waits a little while the next are chosen."""
        until = time.monotonic() + PATIENCE
        with self._changed:
            self._seen[who] = time.monotonic()
            while True:
                state = self._project.refresh()
                images = self._choose(state, who)[:count]
                self._changed.notify_all()
                if images or not self._left or self._problem or time.monotonic() > until or self._closing:
                    break
                self._changed.wait(PATIENCE / 4)
            now = time.monotonic()
            self._hands |= {image: Hand(who, now, state.asked[image].at) for image in images}
            return [self._question(state, image, who) for image in images]

    def answer(self, who: str, file: str, label: str, origin: str) -> None:
        """Records an answer; told again with the same origin it changes nothing."""
        with self._changed:
            record(self._project, [Told(file, label, who, f"page:{origin}", "answer")])
            self._put_down(who, file)

    def skip(self, who: str, file: str) -> None:
        """Puts an image behind all others, for this person."""
        with self._changed:
            image = self._image(file)
            self._put_down(who, file)
            self._skipped.setdefault(who, []).append(image)

    def undo(self, who: str, origin: str) -> str | None:
        """Withdraws the person's last answer, and puts that image into their hands again; None: there is none.

        Told again with the same origin it changes nothing.
        """
        with self._changed:
            state = self._project.refresh()
            if f"page:{origin}" in state.origins:
                return None
            own = [(given[who].event, image) for image, given in state.answers.items() if who in given]
            own = [(event, image) for event, image in own if image in state.asked and image not in state.removed]
            if not own:
                return None
            image = max(own)[1]
            body = {"file": state.files[image], "origin": f"page:{origin}"}
            self._project.write(lambda state: [Entry(who, "withdrawn", body)])
            self._redo[who] = [image, *self._redo.get(who, [])]
            self._changed.notify_all()
            return state.files[image]

    def add_class(self, who: str, name: str) -> None:
        """A class that was met."""
        with self._changed:
            check = lambda state: [Entry(who, "class_added", {"name": check_class(state.classes, name, "new class")})]
            self._project.write(check)

    def summary(self, who: str) -> dict[str, Any]:
        """What the page shows beside the image."""
        with self._changed:
            state = self._project.refresh()
            labels = [s.label for i, s in state.standing.items() if s.kind == "labelled" and i not in state.removed]
            return self._summary | {
                "classes": [{"name": name, "count": labels.count(i)} for i, name in enumerate(state.classes)],
                "counts": dict(state.counts()),
                "images": len(state.files) - len(state.removed),
                "own": sum(who in given for given in state.answers.values()),
                "people": sorted({name for given in state.answers.values() for name in given}),
                "disputes": len(state.disputed()),
                "problem": self._problem,
                "left": self._left or bool(self._choose(state, who)),
            }

    def _image(self, file: str) -> int:
        image = self._project.state.place.get(file)
        if image is None:
            raise DataError(f"no image {file[:200]!r}")
        return image

    def _put_down(self, who: str, file: str) -> None:
        image = self._image(file)
        if image in self._hands and self._hands[image].who == who:
            del self._hands[image]
        self._redo[who] = [other for other in self._redo.get(who, []) if other != image]
        self._seen[who] = time.monotonic()
        self._changed.notify_all()

    def _choose(self, state: State, who: str) -> list[int]:
        """Images for a person: those undone, those in hand, free ones as they were asked, and what they skipped."""
        now = time.monotonic()
        self._hands = {
            image: hand
            for image, hand in self._hands.items()
            if image in state.pending and now - hand.since < HELD and hand.asked == state.asked[image].at
        }
        redo = [image for image in self._redo.get(who, []) if image not in state.removed]
        own = [image for image, hand in self._hands.items() if hand.who == who and image not in redo]
        skipped = self._skipped[who] = [image for image in self._skipped.get(who, []) if image in state.pending]
        here = {name for name, at in self._seen.items() if now - at < HELD}
        taken = {*self._hands, *skipped, *(image for name in here for image in self._redo.get(name, []))}
        free = [image for image in state.pending if image not in taken]
        fresh = [image for image in free if who not in state.answers.get(image, {})]
        again = [image for image in free if who in state.answers.get(image, {})]  # they disagree with somebody
        back = [image for image in skipped if image not in self._hands]
        return [*redo, *own, *fresh, *again, *back]

    def _question(self, state: State, image: int, who: str) -> dict[str, Any]:
        question = state.asked[image].question
        said = state.answers.get(image, {})
        return {
            "image": image,
            "file": question.file,
            "guess": question.predicted,
            "probability": question.probability,
            "why": reason(question),
            "said": {name: state.name(answer.label) for name, answer in said.items()},
            "own": who in said,
        }

    def _must_ask(self) -> bool:
        """Whether more images are to be chosen, so that everybody has some ahead."""
        state, now = self._project.state, time.monotonic()
        last, tried = self._tried
        if not self._left and state.last == last and now - tried < RETRY:
            return False
        people = sum(now - at < HELD for at in self._seen.values()) or 1
        busy = {*self._hands, *(image for skipped in self._skipped.values() for image in skipped)}
        return sum(image not in busy for image in state.pending) < self._batch * people

    def _must_judge(self) -> bool:
        """Whether the classifier's quality is not known yet, or known from fewer answers than there are by now."""
        return abs(len(self._project.state.answers) - self._judged) >= self._batch

    def _work(self) -> None:
        """Chooses whenever there are too few ahead, and judges the classifier now and then."""
        while True:
            with self._changed:
                while True:
                    self._project.refresh()
                    asking, judging = self._must_ask(), self._must_judge()
                    if self._closing or asking or judging:
                        break
                    self._changed.wait(1.0)
                if self._closing:
                    return
                state = self._project.state
                if asking:
                    self._tried = (state.last, time.monotonic())
                if judging:
                    self._judged = len(state.answers)
            left, summary, problem = self._left, self._summary, ""
            try:
                if asking:
                    left = False
                    left = bool(ask(self._project, self._chooser, self._batch, self._who))
                    self._tell(left, summary, problem)
                if judging:
                    summary = status(self._project, self._chooser).summary()
            except Exception as error:  # whatever it is, people must be told, and what they answer still be kept
                problem = str(error) or type(error).__name__
            self._tell(left, summary, problem)

    def _tell(self, left: bool, summary: dict[str, Any], problem: str) -> None:
        with self._changed:
            self._left, self._summary, self._problem = left, summary, problem
            self._changed.notify_all()
