"""JSON and the one cattrs converter, with strict hooks.

Left to itself cattrs turns "false" into `True` and `None` into 'None', and Plivo sends
"sip_registered": "false".
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn

from plivo_endpoints._models import (
    Acknowledgement,
    CreatedEndpoint,
    Endpoint,
    EndpointChanges,
    NewEndpoint,
    NewToken,
    Page,
    PageMeta,
    Token,
    TokenClaims,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_BOOLEANS: Final[Mapping[object, bool]] = {"true": True, "false": False}


def _text(value: object, _: object = None) -> str:
    if isinstance(value, str):
        return value
    raise TypeError("not a string")


def _required_text(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    raise TypeError("not a non-empty string")


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _boolean(value: object, _: object = None) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and (known := _BOOLEANS.get(value.lower())) is not None:
        return known
    raise TypeError("not a boolean")


def _integer(value: object, _: object = None) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError("not a whole number")


def _utc(value: object, _: object = None) -> datetime:
    # Plivo writes 2022-07-21 19:26:08 and means UTC.
    moment = datetime.fromisoformat(_text(value))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _nothing(_value: object, _: object = None) -> None:
    return None


def _object(value: object) -> dict[str, object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value)
    raise TypeError("not an object")


_OPTIONAL_FIELDS: Final[Mapping[str, Callable[[object], object]]] = {
    "username": _text,
    "alias": _text,
    "application": _text,
    "sip_uri": _text,
    "sip_registered": _boolean,
    "sip_contact": _text,
    "sip_expires": _utc,
    "sip_user_agent": _text,
    "sub_account": _text,
    "resource_uri": _text,
    "api_id": _text,
}


def _endpoint(value: object, _: object = None) -> Endpoint:
    known: dict[str, Any] = {}
    extra: dict[str, object] = {}
    for name, content in _object(value).items():
        read = _OPTIONAL_FIELDS.get(name)
        if read is None:
            extra[name] = content
        elif content is not None:
            known[name] = read(content)
    endpoint_id = _required_text(extra.pop("endpoint_id", None))
    extra.pop("password", None)  # an MD5 that nobody needs and nobody should keep
    return Endpoint(endpoint_id=endpoint_id, extra=extra, **known)


def _created(value: object, _: object = None) -> CreatedEndpoint:
    body = _object(value)
    return CreatedEndpoint(
        endpoint_id=_required_text(body.get("endpoint_id")),
        username=_required_text(body.get("username")),
        alias=_optional_text(body.get("alias")),
        message=_optional_text(body.get("message")),
        api_id=_optional_text(body.get("api_id")),
    )


def _page(value: object, _: object = None) -> Page[Endpoint]:
    body = _object(value)
    objects: object = body["objects"]
    if not isinstance(objects, list):
        raise TypeError("objects is not an array")
    return Page(
        objects=tuple([_endpoint(item) for item in cast("list[object]", objects)]),
        meta=_page_meta(body.get("meta") or {}),
        api_id=_optional_text(body.get("api_id")),
    )


def _page_meta(value: object) -> PageMeta:
    return converter.structure(_object(value), PageMeta)


def _acknowledgement(value: object, _: object = None) -> Acknowledgement:
    body = _object(value)
    return Acknowledgement(
        message=_optional_text(body.get("message")), api_id=_optional_text(body.get("api_id"))
    )


def _token(value: object, _: object = None) -> Token:
    body = _object(value)
    jwt = _required_text(body.get("token"))
    return Token(jwt=jwt, claims=read_claims(jwt), api_id=_optional_text(body.get("api_id")))


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
        iss=_optional_text(body.get("iss")),
        # Plivo writes an absent text as "".
        sub=_optional_text(body.get("sub")) or None,
        nbf=_moment(body.get("nbf")),
        exp=_moment(body.get("exp")),
        app=_optional_text(body.get("app")) or None,
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
    made.register_structure_hook(str, _text)
    made.register_structure_hook(int, _integer)
    made.register_structure_hook(type(None), _nothing)
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
        import orjson  # noqa: PLC0415 - the extra `speed`, if it is there
    except ImportError:
        return json.loads
    return orjson.loads


load_json: Final = _find_loads()
converter: Final = _make_converter()
_dumps: Final = json.JSONEncoder(separators=(",", ":")).encode


def dump_json(model: object) -> bytes:
    """Return a request model as a JSON body; in ASCII, so that no string can fail to encode."""
    return _dumps(converter.unstructure(model)).encode("ascii")
