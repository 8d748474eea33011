"""A visitor's browser, as far as the examples need one: it keeps cookies and follows redirects."""

from __future__ import annotations

import json
import urllib.request
from http.cookiejar import CookieJar
from typing import Final, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode

_LIMIT: Final = 60.0  # seconds for an answer


class Page(NamedTuple):
    """What a server answers."""

    status: int
    text: str


class Visitor:
    """A browser with cookies of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.cookies = CookieJar()
        cookies = urllib.request.HTTPCookieProcessor(self.cookies)
        self._opener = urllib.request.build_opener(cookies, urllib.request.ProxyHandler({}))

    def get(self, path: str) -> Page:
        """Fetch a page."""
        return self._open(urllib.request.Request(self._url + path))  # noqa: S310 - of a server on loopback

    def post(self, path: str, **fields: str) -> Page:
        """Send a form."""
        body = urlencode(fields).encode()
        return self._open(urllib.request.Request(self._url + path, data=body))  # noqa: S310

    def post_json(self, path: str, **fields: str) -> Page:
        """Send a JSON document."""
        headers = {"Content-Type": "application/json"}
        body = json.dumps(fields).encode()
        return self._open(urllib.request.Request(self._url + path, data=body, headers=headers))  # noqa: S310

    def _open(self, request: urllib.request.Request) -> Page:
        try:
            with self._opener.open(request, timeout=_LIMIT) as answer:
                return Page(answer.status, answer.read().decode())
        except HTTPError as error:
            with error:
                return Page(error.code, error.read().decode())
