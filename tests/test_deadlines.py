"""The timeouts of many calls on one timer: as exact as asyncio's, and as polite to other cancellations."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextvars import ContextVar
from unittest.mock import Mock, patch

import pytest

from plivo_endpoints._deadlines import Deadline, Deadlines


async def forever(deadlines: Deadlines, seconds: float) -> float:
    """Wait for a deadline and return when it came, in the loop's time."""
    with pytest.raises(TimeoutError), deadlines.after(seconds):
        await asyncio.Event().wait()
    return asyncio.get_running_loop().time()


async def test_each_deadline_comes_in_its_time() -> None:
    """Never before it, and without waiting for a later one that was set first."""
    deadlines, begun = Deadlines(), asyncio.get_running_loop().time()
    last = asyncio.create_task(forever(deadlines, 3600.0))
    await asyncio.sleep(0)
    ended = await asyncio.gather(forever(deadlines, 0.2), forever(deadlines, 0.1))
    assert all(end - begun >= delay for end, delay in zip(ended, (0.2, 0.1), strict=True))
    assert not last.done()
    last.cancel()
    assert await asyncio.wait({last}) == ({last}, set())


async def test_calls_that_end_in_time_share_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """This is what it is for."""
    loop = asyncio.get_running_loop()
    set_timer = Mock(wraps=loop.call_at)
    monkeypatch.setattr(loop, "call_at", set_timer)
    deadlines = Deadlines()
    for _ in range(100):
        with deadlines.after(60.0):
            pass
    assert set_timer.call_count == 1


async def test_nothing_is_watched_when_all_have_ended() -> None:
    """The look that finds nobody sets no further timer; one that did would look for ever."""
    deadlines = Deadlines()
    with deadlines.after(0.01):
        pass
    while deadlines._timer is not None:
        await asyncio.sleep(0.001)
    assert not deadlines._running


async def test_a_closed_client_leaves_no_timer() -> None:
    """Nor does one that is closed during a call, when that has ended."""
    deadlines, later = Deadlines(), Deadlines()
    with deadlines.after(3600.0):
        pass
    deadlines.close()
    assert deadlines._timer is None
    with later.after(3600.0):
        later.close()
        assert later._timer is not None
    assert later._timer is None


async def test_the_timer_keeps_nobodys_context() -> None:
    """What the first caller's variables hold must not live as long as there are others."""
    variable = ContextVar[object]("variable")
    deadlines = Deadlines()

    async def call() -> weakref.ref[asyncio.Event]:
        mine = asyncio.Event()  # anything that can be referred to weakly
        variable.set(mine)
        with deadlines.after(3600.0):
            return weakref.ref(mine)

    mine = await asyncio.create_task(call())
    await asyncio.sleep(0)  # what woke this still has the task's context
    gc.collect()
    assert deadlines._timer is not None
    assert mine() is None
    deadlines.close()


async def test_an_error_while_one_is_cancelled_spares_the_others() -> None:
    """A signal's handler may raise anywhere; later calls still have their timeouts."""
    loop = asyncio.get_running_loop()
    told: list[object] = []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    deadlines = Deadlines()
    first = Deadline(deadlines, loop.time() + 0.01)
    with patch.object(Deadline, "expire", side_effect=ZeroDivisionError):
        deadlines.add(first)
        while not told:
            await asyncio.sleep(0.001)
    await asyncio.wait_for(forever(deadlines, 0.01), 5.0)
    loop.set_exception_handler(None)


async def test_a_cancellation_by_others_stays_theirs() -> None:
    """Even one that comes together with the deadline: whoever cancelled waits for a cancelled task."""
    deadlines = Deadlines()
    task = asyncio.create_task(forever(deadlines, 0.01))
    asyncio.get_running_loop().call_later(0.01, task.cancel)
    done, _ = await asyncio.wait({task})
    assert {task} == done
    assert task.cancelled()
    assert task.cancelling() == 1


async def test_a_deadline_leaves_no_cancellation_behind() -> None:
    """A task that timed out goes on as if nothing had been."""
    await forever(Deadlines(), 0.0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_an_error_that_comes_with_the_deadline_is_the_one_to_raise() -> None:
    """The block knows better why it ended."""
    with pytest.raises(ZeroDivisionError), Deadlines().after(0.01):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ZeroDivisionError from None


async def test_a_call_outside_of_a_task_is_refused() -> None:
    """There would be nothing to cancel."""
    deadlines = Deadlines()
    refused: list[BaseException] = []

    def call() -> None:
        try:
            with deadlines.after(1.0):
                pass
        except RuntimeError as error:
            refused.append(error)

    asyncio.get_running_loop().call_soon(call)
    await asyncio.sleep(0)
    assert ["a call must be made from an asyncio task"] == [str(error) for error in refused]
