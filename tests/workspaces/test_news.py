"""What a start has got to reaches everybody who watches, whenever they began to."""

from __future__ import annotations

import asyncio

from perijove_hub.hub.news import News


async def test_who_comes_late_sees_everything_and_what_is_said_twice_once() -> None:
    news = News()
    news.say("line", "2nd in line")
    news.say("line", "2nd in line")
    news.say("line", "1st in line")
    watching = news.follow()
    seen = [(await anext(watching))["message"] for _ in range(2)]
    assert seen == ["2nd in line", "1st in line"]
    following = asyncio.ensure_future(anext(watching))
    await asyncio.sleep(0)
    news.say("home", "Your home is ready")
    assert (await following)["step"] == "home"


async def test_who_watched_before_a_new_start_sees_the_new_one() -> None:
    news = News()
    news.say("container", "of the last start")
    watching = news.follow()
    await anext(watching)
    following = asyncio.ensure_future(anext(watching))
    await asyncio.sleep(0)
    news.begin()
    news.say("line", "1st in line")
    assert (await following)["message"] == "1st in line"
