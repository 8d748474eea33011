"""JSON and the one cattrs converter, with strict hooks.

Left to itself cattrs turns "false" into `True` and `None` into 'None', and Plivo sends
"sip_registered": "false".
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from attrs import fields
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn

from plivo_endpoints._models import (
    Acknowledgement,
    CreatedEndpoint,
    Endpoint,
    Page,
    PageMeta,
    Token,
    TokenClaims,
)
from plivo_endpoints._requests import EndpointChanges, NewEndpoint, NewToken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_BOOLEANS: Final[Mapping[object, bool]] = {"true": True, "false": False}
_NOT_TEXTS: Final = frozenset({"sip_registered", "sip_expires", "extra"})  # of an endpoint
_ABSENT: Final[Mapping[str, None]] = dict.fromkeys(field.name for field in fields(Endpoint))
_TEXTS: Final = _ABSENT.keys() - _NOT_TEXTS


def _object(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return value  # pyright: ignore[reportUnknownVariableType] - of JSON, so its keys are strings
    raise TypeError("not an object")


def _required(body: dict[str, Any], name: str) -> str:
    value: object = body.get(name)
    if isinstance(value, str) and value:
        return value
    raise TypeError(f"{name} is not a non-empty string")


def _optional(body: dict[str, Any], name: str) -> str | None:
    value: object = body.get(name)
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"{name} is not a string")


def _boolean(value: object, _: object = None) -> bool:
    if value is True or value is False:
        return value
    if isinstance(value, str) and (known := _BOOLEANS.get(value.lower())) is not None:
        return known
    raise TypeError("a flag is not a boolean")


def _count(body: dict[str, Any], name: str) -> int | None:
    value: object = body.get(name)
    return None if value is None else _whole(value)


def _whole(value: object, _: object = None) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError("a count is not a whole number")


def _text(value: object, _: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError("a text is not a string")


def _utc(value: object, _: object = None) -> datetime:
    # Plivo writes 2022-07-21 19:26:08 and means UTC.
    if not isinstance(value, str):
        raise TypeError("a time is not a string")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise TypeError("a time is not a date") from None  # its own words quote the answer
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _nothing(_value: object, _: object) -> None:
    return None


def _endpoint(value: object, _: object = None) -> Endpoint:
    # By hand, in one pass and without a call for each field: this is what lists are made of. The constructor
    # of a frozen class would take as long again, so the fields are filled in as `pickle` fills them in.
    endpoint = object.__new__(Endpoint)
    extra: dict[str, object] = {}
    known = endpoint.__dict__
    known.update(_ABSENT)
    known["extra"] = extra
    for name, content in _object(value).items():
        if name in _TEXTS:
            if content is not None and type(content) is not str:
                raise TypeError(f"{name} is not a string")
            known[name] = content
        elif name == "sip_registered":
            known[name] = None if content is None else _boolean(content)
        elif name == "sip_expires":
            known[name] = None if content is None else _utc(content)
        elif name != "password":  # an MD5 that nobody needs and nobody should keep
            extra[name] = content
    if not endpoint.endpoint_id:
        raise TypeError("endpoint_id is not a non-empty string")
    return endpoint


def _created(value: object, _: object) -> CreatedEndpoint:
    texts = _texts(_object(value), "endpoint_id", "username", "alias", "message", "api_id")
    if not texts["endpoint_id"] or not texts["username"]:
        raise TypeError("endpoint_id or username is not a non-empty string")
    return CreatedEndpoint(**texts)


def _acknowledgement(value: object, _: object) -> Acknowledgement:
    return Acknowledgement(**_texts(_object(value), "message", "api_id"))


def _texts(body: dict[str, Any], *names: str) -> dict[str, Any]:
    texts: dict[str, Any] = {}
    for name in names:
        text = texts[name] = body.get(name)
        if text is not None and type(text) is not str:
            raise TypeError(f"{name} is not a string")
    return texts


def _page(value: object, _: object) -> Page[Endpoint]:
    body = _object(value)
    objects: object = body.get("objects")
    if not isinstance(objects, list):
        raise TypeError("objects is not an array")
    return Page(
        objects=tuple([_endpoint(item) for item in cast("list[object]", objects)]),
        meta=_meta(body.get("meta") or {}),
        api_id=_optional(body, "api_id"),
    )


def _meta(value: object) -> PageMeta:
    body = _object(value)
    return PageMeta(
        limit=_count(body, "limit"),
        offset=_count(body, "offset"),
        next=_optional(body, "next"),
        previous=_optional(body, "previous"),
        total_count=_count(body, "total_count"),
    )


def _token(value: object, _: object) -> Token:
    body = _object(value)
    jwt = _required(body, "token")
    return Token(jwt=jwt, claims=read_claims(jwt), api_id=_optional(body, "api_id"))


def read_claims(jwt: str) -> TokenClaims | None:
    """Read a token's payload without verifying it; `None` where it is not one that Plivo makes."""
    try:
        payload = jwt.split(".")[1]
        return _claims(load_json(urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))
    except (ValueError, TypeError, LookupError, OverflowError, OSError, RecursionError):
        return None


def _claims(value: object) -> TokenClaims:
    body = _object(value)
    voice = _object(_object(body.get("per") or {}).get("voice") or {})
    return TokenClaims(
        iss=_optional(body, "iss"),
        # Plivo writes an absent text as "".
        sub=_optional(body, "sub") or None,
        nbf=_moment(body.get("nbf")),
        exp=_moment(body.get("exp")),
        app=_optional(body, "app") or None,
        incoming_allow=_boolean(voice.get("incoming_allow", False)),
        outgoing_allow=_boolean(voice.get("outgoing_allow", False)),
    )


def _moment(value: object) -> datetime | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    return None


def _new_token(token: NewToken) -> dict[str, object]:
    # Both permissions always, an explicit false included: what is left out is decided elsewhere.
    voice = {"incoming_allow": token.incoming_allow, "outgoing_allow": token.outgoing_allow}
    claims = {"iss": token.iss, "sub": token.sub, "nbf": token.nbf, "exp": token.exp, "app": token.app}
    given: dict[str, object] = {name: value for name, value in claims.items() if value is not None}
    return {**given, "per": {"voice": voice}}


def _make_converter() -> Converter:
    made = Converter(detailed_validation=False)
    made.register_structure_hook(type(None), _nothing)
    made.register_structure_hook(str, _text)
    made.register_structure_hook(int, _whole)
    made.register_structure_hook(bool, _boolean)
    made.register_structure_hook(datetime, _utc)
    made.register_structure_hook(CreatedEndpoint, _created)
    made.register_structure_hook(Acknowledgement, _acknowledgement)
    made.register_structure_hook(Endpoint, _endpoint)
    made.register_structure_hook_func(lambda model: model == Page[Endpoint], _page)
    made.register_structure_hook(Token, _token)
    for model in (NewEndpoint, EndpointChanges):
        made.register_unstructure_hook(
            model, make_dict_unstructure_fn(model, made, _cattrs_omit_if_default=True)
        )
    made.register_unstructure_hook(NewToken, _new_token)
    return made


def _find_loads() -> Callable[[bytes], object]:
    try:
        orjson = import_module("orjson")  # the extra `speed`, if it is there: nothing to check types against
    except ImportError:
        return _loads
    loads: Callable[[bytes], object] = orjson.loads
    return loads


def _loads(body: bytes) -> object:
    return _decode(str(body, "utf-8"))  # the one encoding of JSON; `json.loads` would look for four others


_decode: Final = json.JSONDecoder().decode
load_json: Final = _find_loads()
converter: Final = _make_converter()
_dumps: Final = json.JSONEncoder(separators=(",", ":")).encode


def dump_json(model: object) -> bytes:
    """Return a request model as a JSON body; in ASCII, so that no string can fail to encode."""
    return _dumps(converter.unstructure(model)).encode("ascii")
