"""A contact sheet of a batch: one HTML file with thumbnails, guesses and reasons, to be printed or passed on."""

import base64
from collections.abc import Sequence

import jinja2

from jaxal.data.dataset import DataError
from jaxal.labelling import images
from jaxal.labelling.choosing import REASONS
from jaxal.labelling.log import now
from jaxal.labelling.project import Project
from jaxal.labelling.state import Question
from jaxal.labelling.tables import reason


def render(project: Project, questions: Sequence[Question], policy: str) -> str:
    """The sheet, whole: thumbnails are inside of it.

    Raises:
      DataError: one line, for an image that is gone or has changed, or a project of rows without pictures.
    """
    state, folder = project.state, project.image_folder
    if folder is None:
        raise DataError(f"{project.folder}: rows without pictures; take --format csv")
    cards = []
    for question in questions:
        small = images.thumbnail(folder, state, state.place[question.file])
        cards.append(
            {
                "question": question,
                "picture": "data:image/jpeg;base64," + base64.b64encode(small).decode(),
                "reason": reason(question),
                "bars": [] if question.testing else list(zip(REASONS, question.reasons, strict=True)),
            }
        )
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jaxal.labelling"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = {"cards": cards, "policy": policy, "at": now()[:16].replace("T", " "), "classes": state.classes}
    return environment.get_template("sheet.html.jinja").render(page)
