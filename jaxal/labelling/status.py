"""Where a project stands: counts, people, the classifier's quality, and whether to go on."""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from jaxal.labelling import quality
from jaxal.labelling.answers import Agreement, Dispute, agreement, disputes
from jaxal.labelling.asking import classifier_now
from jaxal.labelling.choosing import Chooser
from jaxal.labelling.log import Classifier
from jaxal.labelling.project import Project
from jaxal.labelling.state import RULE

MOST_POINTS = 200  # of the curve; of more classifiers an even selection is judged


class Status(NamedTuple):
    """Where a project stands."""

    images: int
    counts: Counter[str]  # "open", "labelled", "unsure", "unusable", "disputed"
    pending: int
    reserved: int  # images set aside for testing
    classes: dict[str, int]  # name -> images labelled so
    people: dict[str, int]  # annotator -> images with an answer
    agreement: Agreement
    disputes: list[Dispute]
    version: str | None  # of the present classifier
    trained: int  # labels that it is fitted to
    accuracy: quality.Accuracy
    calibration: quality.Calibration | None
    curve: list[quality.Point]
    forecast: quality.Forecast | None
    stability: quality.Stability | None
    verdict: str

    def lines(self) -> list[str]:
        """For a terminal."""
        found, steady, ahead = self.accuracy, self.stability, self.forecast
        counts = ", ".join(f"{count:,} {name}" for name, count in self.counts.items() if count)
        out = [f"images      {self.images:,}: {counts}; {self.pending:,} asked and not answered yet"]
        out += [f"set aside   {self.reserved:,} by lot, for testing alone"] if self.reserved else []
        out += [f"classes     {', '.join(f'{name} {n:,}' for name, n in self.classes.items()) or 'none yet'}"]
        out += [f"annotators  {', '.join(f'{name} {n:,}' for name, n in self.people.items()) or 'none yet'}"]
        if self.agreement.images:
            kappa = "" if self.agreement.kappa is None else f", kappa {self.agreement.kappa:.2f}"
            out.append(f"agreement   {self.agreement.agreed:,} of {self.agreement.images:,} images{kappa}")
        for dispute in self.disputes:
            said = ", ".join(f"{who} {answer}" for who, answer in dispute.said.items())
            out.append(f"disputed    {dispute.file}: {said}")
        if self.disputes:
            out.append(f"rule        {RULE}")
        out.append(f"classifier  {self.version or 'none yet'}, fitted to {self.trained:,} labels")
        if found.tests:
            interval = f"95% interval {found.low:.1%} to {found.high:.1%}"
            out.append(f"accuracy    {found.value:.1%} on {found.tests} images drawn by lot, {interval}")
        if (found_ := self.calibration) is not None:
            out.append(
                f"calibration says {found_.confidence:.0%}, is right in {found_.accuracy:.0%}; Brier score "
                f"{found_.brier:.3f}, {found_.brier_calibrated:.3f} at temperature {found_.temperature:.2f}"
            )
        if len(self.curve) > 1:
            points = [self.curve[i] for i in np.unique(np.linspace(0, len(self.curve) - 1, 8).astype(int))]
            out.append("curve       " + ", ".join(f"{point.labels}: {point.accuracy:.1%}" for point in points))
        if ahead is not None:
            gain = f"{100 * ahead.gain:+.1f} points, {100 * ahead.low:+.1f} to {100 * ahead.high:+.1f}"
            out.append(f"forecast    {ahead.accuracy:.1%} at {ahead.labels} labels ({gain})")
        if steady is not None:
            changed = f"{steady.changed:.1%} of the predictions changed with the last {steady.labels} labels"
            out.append(f"stability   {changed}, kappa {steady.kappa:.3f} over the last rounds")
        return [*out, self.verdict]

    def summary(self) -> dict[str, Any]:
        """For the page, as JSON."""
        return {
            "images": self.images,
            "counts": dict(self.counts),
            "pending": self.pending,
            "classes": self.classes,
            "trained": self.trained,
            "tests": self.accuracy.tests,
            "accuracy": None if not self.accuracy.tests else self.accuracy.value,
            "interval": [self.accuracy.low, self.accuracy.high],
            "curve": [point._asdict() for point in self.curve],
            "forecast": None if self.forecast is None else self.forecast._asdict(),
            "disputes": len(self.disputes),
            "verdict": self.verdict,
        }


def status(project: Project, chooser: Chooser) -> Status:
    """Where the project stands by now; fits the classifier where labels have come in since the last."""
    classifier = classifier_now(project, chooser)
    with project.lock:
        state = project.state
        tested, trained = state.tested(), state.trained()
        live = np.array(state.live, int)
        history = _history(project.classifiers(), classifier)
        names = len(state.classes)
        latents = np.asarray(project.latents()) if history else np.zeros((len(state.files), 1), np.float32)
        kept = {image: standing for image, standing in state.standing.items() if image not in state.removed}
        labelled = Counter(standing.label for standing in kept.values() if standing.kind == "labelled")
        people = Counter(who for image in kept for who in state.answers[image])
        counts = state.counts()
        rest = dict(
            images=len(live),
            counts=counts,
            pending=len(state.pending),
            reserved=sum(state.is_reserved(i) for i in live.tolist()),
            classes={name: labelled[i] for i, name in enumerate(state.classes)},
            people=dict(people),
            agreement=agreement(state),
            disputes=disputes(state),
        )
    images, labels = np.array([*tested], int), np.array([*tested.values()], int)
    logits = [_padded(c, latents[images], names) for c in history]
    right = np.array([logit.argmax(-1) == labels for logit in logits]).reshape(len(history), len(images))
    fitted = [c.labels for c in history]
    found = quality.accuracy(right[-1] if history else np.zeros(0, bool))
    ahead = quality.forecast(fitted, right) if history else None
    rounds = [history[place] for place in quality.rounds(fitted)]
    said = [_padded(c, latents, names).argmax(-1)[live] for c in rounds]
    steady = quality.stability([c.labels for c in rounds], said)
    return Status(
        **rest,  # pyright: ignore[reportArgumentType]
        version=classifier.version if classifier else None,
        trained=len(trained),
        accuracy=found,
        calibration=quality.calibration(logits[-1], labels) if history else None,
        curve=quality.curve(fitted, right),
        forecast=ahead,
        stability=steady,
        verdict=quality.verdict(found, ahead, steady, counts["open"] + counts["disputed"]),
    )


def temperature(project: Project, classifier: Classifier) -> float:
    """By which the classifier's probabilities are calibrated on the test images; 1 where there are none."""
    state = project.state
    tested = state.tested()
    latents = np.asarray(project.latents()[[*tested]])
    return quality.fit_temperature(_padded(classifier, latents, len(state.classes)), np.array([*tested.values()], int))


def _history(stored: list[Classifier], present: Classifier | None) -> list[Classifier]:
    """Successive classifiers: of each number of labels the last, the present one at the end."""
    if present is None:
        return []
    last = {c.labels: c for c in stored if c.labels <= present.labels}
    ordered = [last[labels] for labels in sorted(last) if labels < present.labels] + [present]
    if len(ordered) <= MOST_POINTS:
        return ordered
    return [ordered[i] for i in np.unique(np.linspace(0, len(ordered) - 1, MOST_POINTS).astype(int))]


def _padded(classifier: Classifier, latents: np.ndarray, classes: int) -> np.ndarray:
    """Logits [n, C]; a class that was met later has no chance."""
    logits = classifier.head.logits(latents)
    return np.pad(logits, ((0, 0), (0, classes - logits.shape[1])), constant_values=-np.inf).astype(np.float64)
