"""The web application of a study. Raters' pages, scripts and style sheets come from iqsr.study.web."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from iqsr.study.server import admin, entrance, raters
from iqsr.study.server.guard import Guard
from iqsr.study.server.limits import Limits
from iqsr.study.server.served import ServedStudy
from iqsr.study.server.shared import Shared, page
from iqsr.study.server.steps import Refused

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}


def create_app(
    study: ServedStudy, *, open_link: bool = False, admin_token: str | None = None, limits: Limits | None = None
) -> FastAPI:
    """The application that answers a study's raters and its admin.

    Args:
        study: From `open_study`.
        open_link: Whether `/` hands out seats to whoever comes.
        admin_token: What opens `/admin`. None: the one derived from the study's key.
        limits: What one client and one link may do.
    """
    limits = limits or Limits()
    app = FastAPI(title="iqsr study", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.shared = Shared.of(study, open_link, admin_token or study.keys.admin_token(), limits)
    app.add_middleware(Guard, limits=limits)
    app.include_router(raters.router)
    app.include_router(entrance.router)
    app.include_router(admin.router)
    _add_static_files(app)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    return app


def _add_static_files(app: FastAPI) -> None:
    """`/static/NAME` for each file that ships. They are read once: no path from a request reaches the disk."""
    contents = {
        item.name: (item.read_bytes(), _TYPES[suffix])
        for package in ("iqsr.study.web", "iqsr.study.server")
        for item in (files(package) / "static").iterdir()
        if (suffix := item.name[item.name.rfind(".") :]) in _TYPES
    }

    @app.get("/static/{name}")
    async def static(name: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        if name not in contents:
            raise Refused(404, "There is no such file.")
        content, media_type = contents[name]
        return Response(content, headers={"content-type": media_type, "cache-control": "no-cache"})


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, Refused) else getattr(error, "status_code", 500)
    reason = str(error) if isinstance(error, Refused) else f"{getattr(error, 'detail', 'Error')}."
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(page(request, "message", message=reason), status_code=status)
    return JSONResponse({"error": reason}, status_code=status, headers={"retry-after": "2"} if status == 429 else None)


async def _invalid(request: Request, error: Exception) -> Response:
    """What a request holds that it must not, without repeating it."""
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": "invalid"}
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    return JSONResponse({"error": f"{where or 'The request'}: {first['msg']}."}, status_code=422)
