"""The page to label on, as an application: the page itself, the images, and what it asks and tells."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from functools import partial
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from jaxal.data.dataset import DataError
from jaxal.labelling import images
from jaxal.labelling.answers import check_person
from jaxal.labelling.choosing import Chooser
from jaxal.labelling.desk import Desk
from jaxal.labelling.project import Project
from jaxal.labelling.web import Access, Guard, read_object, told

LIMIT = 16_384  # bytes of a request; an answer has some hundreds
AHEAD = 3  # images that a page has at hand
PAGE = {"": "text/html", "style.css": "text/css", "app.js": "text/javascript", "icon.svg": "image/svg+xml"}


def make_app(project: Project, chooser: Chooser, batch: int, access: Access, who: str) -> Starlette:
    """The application; everything in it stands below the token.

    Raises:
      DataError: one line, for a project of rows without pictures.
    """
    folder = project.image_folder
    if folder is None:
        raise DataError(
            f"{project.folder}: rows without pictures, so there is no page for them; take `jaxal label next`"
        )
    desk: list[Desk] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        del app
        desk.append(Desk(project, chooser, batch, who))
        try:
            yield
        finally:
            await run_in_threadpool(desk[0].close)

    def page(name: str, media: str) -> Route:
        content = (files("jaxal.labelling") / "page" / (name or "index.html")).read_bytes()

        async def endpoint(request: Request) -> Response:
            del request
            return Response(content, media_type=media)

        return Route(f"/{name}", endpoint)

    async def picture(request: Request) -> Response:
        image = request.path_params["image"]
        state = project.state
        if image >= len(state.files) or image in state.removed:
            raise DataError(f"no image {image}")
        data, media = await run_in_threadpool(images.picture, folder, state, image)
        # Numbers are for good, and so are the contents behind them.
        return Response(data, media_type=media, headers={"cache-control": "private, max-age=86400, immutable"})

    def api(name: str, do: Callable[[str, dict[str, Any]], dict[str, Any] | None]) -> Route:
        """A POST that answers with what the page shows next."""

        def work(body: dict[str, Any]) -> dict[str, Any]:
            who = check_person(_text(body, "who"), "who")
            result = do(who, body) or {}
            return result | {"questions": desk[0].next(who, AHEAD), "summary": desk[0].summary(who)}

        async def endpoint(request: Request) -> Response:
            return JSONResponse(await run_in_threadpool(work, await read_object(request)))

        return Route(f"/api/{name}", told(endpoint), methods=["POST"])

    routes = [
        *(page(name, media) for name, media in PAGE.items()),
        Route("/image/{image:int}", told(picture)),
        api("next", lambda who, body: None),
        api("answer", lambda who, body: desk[0].answer(who, *map(partial(_text, body), ("file", "label", "origin")))),
        api("skip", lambda who, body: desk[0].skip(who, _text(body, "file"))),
        api("undo", lambda who, body: {"undone": desk[0].undo(who, _text(body, "origin"))}),
        api("class", lambda who, body: desk[0].add_class(who, _text(body, "name"))),
    ]
    return Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(Guard, access=access, limit=LIMIT)])


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str):
        raise DataError(f"{key} is missing; a string is expected")
    return value
