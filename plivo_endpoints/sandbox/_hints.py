"""Hints for requests that get a 401, 404 or 405 because of how they are addressed.

Plivo sends no hints; they are for programs under development.
"""

from aiohttp import web

from plivo_endpoints.sandbox._routes import PATHS

_MAX_PART = 100  # characters of a path that are repeated

OTHER_ACCOUNT = "the credentials are valid, but not for the account in the path"


def hint_for(request: web.Request, problem: web.HTTPException) -> str | None:
    """Return what the sender of a request should change, or `None` if it is addressed correctly."""
    if isinstance(problem, web.HTTPMethodNotAllowed):
        return _method_hint(problem)
    if request.match_info.http_exception is None:  # the path is right, and what it names does not exist
        return None
    return _path_hint(request.path)


def _method_hint(problem: web.HTTPMethodNotAllowed) -> str:
    allowed = ", ".join(sorted(problem.allowed_methods))
    update = "; Plivo has neither PUT nor PATCH" if problem.method in ("PUT", "PATCH") else ""
    return f"this path allows {allowed}{update}"


def _path_hint(path: str) -> str | None:
    parts = [part[:_MAX_PART] for part in path.split("/") if part]
    while parts and parts[0].lower() == "v1":
        del parts[0]
    for template in PATHS:
        expected = template.strip("/").split("/")[1:]
        if _resembles(parts, expected):
            meant = [given if "{" in part else part for given, part in zip(parts, expected, strict=True)]
            return f"paths are case-sensitive and end with a slash: did you mean /v1/{'/'.join(meant)}/?"
    return None


def _resembles(parts: list[str], expected: list[str]) -> bool:
    if len(parts) != len(expected):
        return False
    return all(
        "{" in part or given.lower() == part.lower() for given, part in zip(parts, expected, strict=True)
    )
