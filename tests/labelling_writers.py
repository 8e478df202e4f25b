"""What processes do that are killed, or that write at the same time: in a module that is quickly imported by them."""

from pathlib import Path

from labelling_projects import tell

from jaxal.labelling.answers import Told, record
from jaxal.labelling.asking import ask
from jaxal.labelling.project import Project


def write_until_killed(folder: str, number: int, acknowledged) -> None:
    """Answers in pairs; the origins of each are sent on once it is acknowledged."""
    with Project(Path(folder)) as project:
        files = project.state.files
        for i in range(10_000):
            pair = [files[(2 * i + k) % len(files)] for k in (0, 1)]
            origins = [f"{number} {i} {k}" for k in (0, 1)]
            record(project, [Told(f, "AB"[i % 2], "me", o, "here") for f, o in zip(pair, origins, strict=True)])
            acknowledged.send(origins)


def add_many(folder: str, who: str, start) -> None:
    """One answer after another, beside others who do the same."""
    start.wait()
    with Project(Path(folder)) as project:
        for file in project.state.files[:25]:
            tell(project, {file: "A"}, who)


def ask_some(folder: str, start, answers) -> None:
    """Asks at the same moment as others."""
    from honest_chooser import HONEST  # it imports JAX

    start.wait()
    with Project(Path(folder)) as project:
        answers.send([question.file for question in ask(project, HONEST, 4, "me")])
