"""What the frames of a traceback hold: every local, and what can be reached from it."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import (
    AsyncGeneratorType,
    CellType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MethodType,
)
from typing import Any, Final

import attrs

from plivo_endpoints._config import Secret
from tests.public_calls import PUBLIC

_MOST: Final = 50_000  # objects of one frame


def _codes(kind: type) -> Iterator[CodeType]:
    for name, member in vars(kind).items():
        function = getattr(member, "__func__", member)
        if isinstance(function, FunctionType) and (not name.startswith("_") or name.startswith("__")):
            yield from _nested(function.__code__)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


# What a public method was passed is in its frame; nobody can keep it from there. Its inner functions share
# its variables, which are that frame's own.
PUBLIC_CODES: Final = frozenset(code for kind in PUBLIC for code in _codes(kind))


def errors_of(error: BaseException) -> list[BaseException]:
    """Return an error with its causes, contexts and members, at any depth."""
    found: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in found:
            continue
        found[id(each)] = each
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
    return list(found.values())


def frames_of(error: BaseException) -> Iterator[FrameType]:
    """Return the frames between the caller's and the error, those of public methods left out."""
    for each in errors_of(error):
        traceback = each.__traceback__
        while traceback is not None:
            if is_below_public(traceback.tb_frame):
                yield traceback.tb_frame
            traceback = traceback.tb_next


def is_below_public(frame: FrameType) -> bool:
    """Whether a frame is neither a test's nor a public method's."""
    return "/tests/" not in frame.f_code.co_filename and frame.f_code not in PUBLIC_CODES


def leaks_of(error: BaseException, secrets: Iterable[str]) -> list[str]:
    """Name the locals from which a secret can be reached."""
    wanted = tuple(secrets)
    return [
        f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}: {name} holds {secret}"
        for frame in frames_of(error)
        for name, value in dict(frame.f_locals).items()
        for secret in reachable(value, wanted)
    ]


def reachable(value: object, secrets: tuple[str, ...]) -> list[str]:
    """Return the secrets that a value leads to.

    Through containers, closures, bound methods, suspended coroutines, and the attributes of our own objects;
    what a public method itself has suspended or enclosed counts as its frame.
    Not into a `Secret`, nor into a slot that its class declares hidden with `repr=False`: what reads those
    asks for the secret by name. What is not ours is asked for its `repr`.
    """
    seen: dict[int, object] = {}
    waiting = deque([value])
    found: dict[str, None] = {}
    while waiting:
        each = waiting.popleft()
        if id(each) in seen:
            continue
        seen[id(each)] = each  # held, so that no other object takes its address
        assert len(seen) < _MOST, "too much to walk"
        for text in _texts(each):
            found.update(dict.fromkeys(secret for secret in secrets if secret in text))
        waiting.extend(_parts(each))
    return list(found)


def _texts(value: object) -> tuple[str, ...]:
    if type(value) is str:
        return (value,)
    if type(value) in {bytes, bytearray}:
        return (bytes(value).decode("latin-1"),)  # type: ignore[call-overload]
    if _parts(value):
        return ()
    try:
        return (repr(value),)
    except Exception:  # noqa: BLE001 - a half-made object of ours
        return ()


def _parts(value: Any) -> list[Any]:  # noqa: PLR0911 - one for each kind
    if isinstance(value, Secret | str | bytes | type):
        return []
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return list(value)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, FunctionType):
        if value.__code__ in PUBLIC_CODES:
            return []
        return [*(value.__closure__ or ()), value.__defaults__, value.__kwdefaults__]
    if isinstance(value, MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, CellType):
        return [value.cell_contents] if _is_filled(value) else []
    return _suspended(value) or _attributes(value)


def _is_filled(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - reading it is what tells
    except ValueError:
        return False
    return True


def _suspended(value: Any) -> list[object]:
    frame: FrameType | None = None
    if isinstance(value, CoroutineType):
        frame = value.cr_frame
    elif isinstance(value, AsyncGeneratorType):
        frame = value.ag_frame
    elif isinstance(value, GeneratorType):
        frame = value.gi_frame
    return list(dict(frame.f_locals).values()) if frame is not None and is_below_public(frame) else []


def _attributes(value: Any) -> list[object]:
    kind: type = type(value)  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, BaseException):
        return [value.args, vars(value)]
    if not kind.__module__.startswith(("plivo_endpoints", "tests.secrets")):
        return []
    hidden = (
        {each.name for each in attrs.fields(kind) if each.repr is False} if attrs.has(kind) else set[str]()
    )
    slots = [name for base in kind.__mro__ for name in _slots(base) if name not in hidden]
    held: list[object] = [getattr(value, name, None) for name in slots if not name.startswith("__")]
    return [*held, *getattr(value, "__dict__", {}).items()]


def _slots(kind: type) -> tuple[str, ...]:
    slots: str | Iterable[str] = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)
