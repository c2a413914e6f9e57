"""The line of starts: in order, a few at a time, and nobody in the way of who needs no GPU."""

from __future__ import annotations

import asyncio

import pytest

from perijove_hub.workspaces.queue import Line, Missing, Place, ordinal


async def free() -> list[str] | Missing:
    return []


async def go(line: Line, order: list[str], name: str, **how: object) -> Place:
    place = line.join(how.get("ask", free), gpus=bool(how.get("gpus")))  # type: ignore[arg-type]
    await place.turn()
    order.append(name)
    return place


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_starts_go_in_the_order_they_came_a_few_at_a_time() -> None:
    line, order = Line(2), []
    tasks = [asyncio.ensure_future(go(line, order, name)) for name in "abcde"]
    await settle()
    assert order == ["a", "b"]
    tasks[1].result().leave(succeeded=True)
    await settle()
    assert order == ["a", "b", "c"]
    tasks[0].result().leave()
    tasks[2].result().leave()
    await settle()
    assert order == list("abcde")
    assert line.starting == 2


async def test_everybody_sees_their_place_and_about_how_long() -> None:
    line = Line(1)
    first = await go(line, [], "a")
    second, third = line.join(free), line.join(free)
    assert second.words == "1st in line, about 8 s"
    assert third.words == "2nd in line, about 16 s"
    first.leave(succeeded=True)
    # One that took no time was measured.
    assert third.words == "2nd in line, about 1 s"


async def test_who_leaves_makes_room_for_those_behind() -> None:
    line, order = Line(1), []
    first = await go(line, order, "a")
    second = asyncio.ensure_future(go(line, order, "b"))
    third = asyncio.ensure_future(go(line, order, "c"))
    await settle()
    waiting = line._waiting[0]
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    waiting.leave()
    first.leave()
    await third
    assert order == ["a", "c"]


async def test_who_waits_for_a_gpu_is_passed_by_those_who_need_none_and_by_no_other() -> None:
    line, order, gpus = Line(3), [], []

    async def gpu() -> list[str] | Missing:
        return [gpus.pop()] if gpus else Missing.gpu

    one = asyncio.ensure_future(go(line, order, "gpu 1", ask=gpu, gpus=True))
    two = asyncio.ensure_future(go(line, order, "gpu 2", ask=gpu, gpus=True))
    await settle()
    assert [place.words for place in line._waiting] == [
        "Waiting for a GPU: nobody before you",
        "Waiting for a GPU: 1 before you",
    ]
    await go(line, order, "cpu")
    assert order == ["cpu"]
    gpus.append("GPU-1")
    line.tell()
    await one
    await settle()
    assert order == ["cpu", "gpu 1"]
    gpus.append("GPU-2")
    line.tell()
    await two
    assert order == ["cpu", "gpu 1", "gpu 2"]


async def test_a_gpu_that_another_process_gives_back_is_found_without_being_told() -> None:
    line, gpus = Line(1), []

    async def gpu() -> list[str] | Missing:
        return [gpus.pop()] if gpus else Missing.gpu

    waiting = asyncio.ensure_future(go(line, [], "a", ask=gpu, gpus=True))
    await settle()
    gpus.append("GPU-1")
    await asyncio.wait_for(waiting, 5)


async def test_when_as_many_run_as_may_all_wait_in_order() -> None:
    line, order, room = Line(4), [], []

    async def ask() -> list[str] | Missing:
        return [] if room and not room.pop() else Missing.room

    tasks = [asyncio.ensure_future(go(line, order, name, ask=ask)) for name in "ab"]
    await settle()
    assert order == []
    assert [place.words for place in line._waiting] == [
        "1st in line for the next workspace that stops",
        "2nd in line for the next workspace that stops",
    ]
    room.append(False)
    line.tell()
    await tasks[0]
    assert order == ["a"]
    tasks[1].cancel()


async def test_places_are_never_exceeded_by_one_that_passes_while_another_asks() -> None:
    line, order = Line(1), []
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slowly() -> list[str] | Missing:
        if not asked.is_set():
            asked.set()
            return Missing.gpu
        await answer.wait()
        return ["GPU-1"]

    slow = asyncio.ensure_future(go(line, order, "gpu", ask=slowly, gpus=True))
    await asked.wait()
    line.tell()
    await settle()
    quick = await go(line, order, "cpu")
    answer.set()
    await settle()
    assert order == ["cpu"]
    assert line.starting == 1
    quick.leave()
    await slow
    assert order == ["cpu", "gpu"]


@pytest.mark.parametrize(
    ("number", "text"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (22, "22nd")]
)
def test_ordinals(number: int, text: str) -> None:
    assert ordinal(number) == text
