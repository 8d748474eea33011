"""The cattrs converter: request models to JSON objects, and responses to models.

By default cattrs turns "false" into `True` and `None` into 'None', and Plivo sends "sip_registered": "false".
So each type has a strict hook here, and response models are read by the types of their fields.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn

from plivo_endpoints._models import (
    CreatedEndpoint,
    Endpoint,
    IssuedToken,
    Page,
    PageMeta,
    TokenClaims,
)
from plivo_endpoints._request_models import EndpointChanges, NewEndpoint, NewToken
from plivo_endpoints._sansio.json_text import encode_json, load_json
from plivo_endpoints._sansio.reading import (
    SCALARS,
    make_reader,
    read_flag,
    read_number,
    read_object,
    read_text,
)
from plivo_endpoints._validation import ID

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
Identified = TypeVar("Identified", CreatedEndpoint, Endpoint)


def _nothing(_value: object, _: object) -> None:
    return None


def _if_readable(read: Callable[[object], T], value: object) -> T | None:
    try:
        return read(value)
    except TypeError:
        return None


def _moment(value: object) -> datetime:
    try:
        return datetime.fromtimestamp(read_number(value), UTC)
    except (ValueError, OverflowError, OSError):
        raise TypeError("a time is outside the years 1 to 9999") from None


def _with_usable_id(read: Callable[[object, object], Identified]) -> Callable[[object, object], Identified]:
    """Reject an id that no later request could use: it is then unknown what the response refers to."""

    def read_identified(value: object, _: object) -> Identified:
        answer = read(value, None)
        if not ID.fullmatch(answer.endpoint_id):
            raise TypeError("endpoint_id is not a valid id")
        return answer

    return read_identified


def _is_page(model: Any) -> bool:  # noqa: ANN401 - a type of any kind
    return get_origin(model) is Page


def _make_page_reader(model: Any, made: Converter) -> Callable[[object, object], Page[Any]]:  # noqa: ANN401
    (item,) = get_args(model)
    read_item: Callable[..., object] = make_reader(item, made)
    read_meta: Callable[..., PageMeta] = make_reader(PageMeta, made)

    def read(value: object, _: object) -> Page[Any]:
        body = read_object(value)
        objects: object = body.get("objects")
        if not isinstance(objects, list):
            raise TypeError("objects is not an array")
        meta = {} if body.get("meta") is None else read_object(body["meta"])
        if meta.get("next") is not None and not (isinstance(meta["next"], str) and meta["next"]):
            raise TypeError("next is neither a link nor null")
        return Page(
            objects=tuple(map(read_item, cast("list[object]", objects))),
            meta=read_meta(meta),
            api_id=_if_readable(read_text, body.get("api_id")),
        )

    return read


def _issued_token(value: object, _: object) -> IssuedToken:
    body = read_object(value)
    jwt = read_text(body.get("token"))
    if not jwt:
        raise TypeError("token is empty")
    return IssuedToken(jwt=jwt, claims=read_claims(jwt), api_id=_if_readable(read_text, body.get("api_id")))


def read_claims(jwt: str) -> TokenClaims | None:
    """Return a token's claims without verifying it; `None` if they cannot be read."""
    payload = read_jwt_part(jwt, 1)
    return None if payload is None else _claims(payload)


def read_jwt_part(jwt: str, index: int) -> dict[str, Any] | None:
    """Return the header (0) or the payload (1) of a token as it is; `None` if it cannot be read."""
    try:
        part = jwt.split(".")[index]
        return read_object(load_json(urlsafe_b64decode(part + "=" * (-len(part) % 4))))
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def _claims(body: dict[str, Any]) -> TokenClaims:
    voice = _if_readable(_voice, body)
    return TokenClaims(
        iss=_if_readable(read_text, body.get("iss")),
        # Plivo sends "" for an absent string.
        sub=_if_readable(read_text, body.get("sub")) or None,
        nbf=_if_readable(_moment, body.get("nbf")),
        exp=_if_readable(_moment, body.get("exp")),
        app=_if_readable(read_text, body.get("app")) or None,
        incoming_allow=None if voice is None else _if_readable(read_flag, voice.get("incoming_allow", False)),
        outgoing_allow=None if voice is None else _if_readable(read_flag, voice.get("outgoing_allow", False)),
    )


def _voice(claims: object) -> dict[str, Any]:
    return read_object(read_object(read_object(claims).get("per") or {}).get("voice") or {})


def _new_token(token: NewToken) -> dict[str, object]:
    # Both permissions are always sent, even if false: Plivo decides about those that are missing.
    voice = {"incoming_allow": token.incoming_allow, "outgoing_allow": token.outgoing_allow}
    claims = {"iss": token.iss, "sub": token.sub, "nbf": token.nbf, "exp": token.exp, "app": token.app}
    given: dict[str, object] = {name: value for name, value in claims.items() if value is not None}
    return {**given, "per": {"voice": voice}}


def _make_converter() -> Converter:
    made = Converter(detailed_validation=False)
    made.register_structure_hook(type(None), _nothing)
    for scalar, hook in SCALARS.items():
        made.register_structure_hook(scalar, hook)
    made.register_structure_hook_factory(attrs.has, make_reader)
    made.register_structure_hook_factory(_is_page, _make_page_reader)
    made.register_structure_hook(Endpoint, _with_usable_id(make_reader(Endpoint, made)))
    made.register_structure_hook(CreatedEndpoint, _with_usable_id(make_reader(CreatedEndpoint, made)))
    made.register_structure_hook(IssuedToken, _issued_token)
    for model in (NewEndpoint, EndpointChanges):
        made.register_unstructure_hook(
            model, make_dict_unstructure_fn(model, made, _cattrs_omit_if_default=True)
        )
    made.register_unstructure_hook(NewToken, _new_token)
    return made


converter: Final = _make_converter()


def dump_json(model: object) -> bytes:
    """Return a request model as a JSON body."""
    return encode_json(converter.unstructure(model))
