"""Turn what a kernel says into the outputs of a notebook, within a limit and without secrets."""

from __future__ import annotations

import json
import re
from collections import deque
from typing import Any

from perijove.runner.journal import Cells, apply
from perijove.runner.kernel import Message
from perijove.runner.recorder import Recorder
from perijove.runner.scrub import Stream
from perijove.runner.widgets import Widgets

#: Bytes of all outputs together, as the notebook's file has them.
LIMIT = 64 * 2**20
#: One part in this many of the limit is what one cell may print: others want to be kept too.
SHARE = 4
#: Characters of the end that are kept of a cell that prints more.
TAIL = 64 * 2**10
#: Characters of a traceback that are kept.
TRACEBACK = 64 * 2**10
#: Characters that wait at most, to be written together.
BATCH = 64 * 2**10
#: Bytes by which notes and errors may exceed the limit.
SLACK = 2**20
#: Bytes that an output costs apart from its content: a million empty ones take memory as well.
COST = 256

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Outputs:
    """The outputs of a notebook's cells while it runs."""

    def __init__(self, cells: Cells, recorder: Recorder, widgets: Widgets, limit: int) -> None:
        self._cells = cells
        self._recorder = recorder
        self._scrubber = recorder.scrubber
        self._widgets = widgets
        self._limit = limit
        self._used = 0
        self._displays: dict[str, list[tuple[int, int]]] = {}
        self._sizes: dict[tuple[int, int], int] = {}
        self.begin(0)

    def begin(self, index: int) -> None:
        """Take what comes now for the cell ``index``."""
        self._index = index
        self._cell_used = 0
        self._printed = 0
        self._streams: dict[str, Stream] = {}
        self._waiting: list[str] = []
        self._waiting_name = ""
        self._waiting_length = 0
        self._tail: deque[tuple[str, str]] | None = None
        self._tail_length = 0
        self._cut = 0
        self._left_out = 0
        self._clear_next = False

    def take(self, message: Message) -> None:
        """Take one message."""
        if self._widgets.take(message):
            return
        match message.type:
            case "stream":
                self._stream(message)
            case "display_data" | "execute_result" | "update_display_data":
                self._rich(message)
            case "error":
                self._error(message.content)
            case "clear_output":
                self._clear(wait=bool(message.content.get("wait")))
            case "execute_input":
                count = message.content.get("execution_count")
                if isinstance(count, int):
                    self._change("count", count)

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            text, name = "".join(self._waiting), self._waiting_name
            self._waiting, self._waiting_length = [], 0
            self._write(name, text)

    def end(self) -> None:
        """The cell has ended: write what was kept back, and say what was left out."""
        for name, stream in self._streams.items():
            self._text(name, stream.rest())
        self.flush()
        if self._tail is not None:
            self._write_tail(self._tail)
        if self._left_out:
            self._note(f"[{self._left_out} outputs left out: {self._why()}]\n")

    def papermill(self, index: int, metadata: dict[str, Any]) -> None:
        """Keep what papermill notes about a cell."""
        self._recorder.changed(json.dumps(["papermill", index, metadata]))

    def _stream(self, message: Message) -> None:
        if self._tail is not None:
            # A gigabyte is neither searched nor written.
            content = message.content
            self._push(self._tail, str(content["name"]), str(content["text"]))
            return
        self._clear_if_wanted()
        name, text = str(message.content["name"]), str(message.content["text"])
        if name not in self._streams:
            self._streams[name] = Stream(self._scrubber)
        self._text(name, self._streams[name].feed(text))

    def _text(self, name: str, text: str) -> None:
        if not text:
            return
        if name != self._waiting_name:
            self.flush()
            self._waiting_name = name
        self._waiting.append(text)
        self._waiting_length += len(text)
        if self._waiting_length > BATCH:
            self.flush()

    def _write(self, name: str, text: str) -> None:
        if self._tail is not None:
            self._push(self._tail, name, text)
            return
        coded = json.dumps(text)
        room = min(self._limit - self._used, self._limit // SHARE - self._printed)
        if len(coded) > room:
            fits = len(text) * max(room, 0) // len(coded)
            text, rest = text[:fits], text[fits:]
            coded = json.dumps(text)
            self._tail = deque()
            self._push(self._tail, name, rest)
            for other, stream in self._streams.items():
                self._push(self._tail, other, stream.rest())
        if text:
            self._printed += len(coded)
            self._add(name, text, coded)
        if self._tail is not None:
            self._recorder.echo(
                f"[Only the end of what this cell prints from here on is kept: {self._why()}]\n",
                end_line=True,
            )

    def _add(self, name: str, text: str, coded: str) -> None:
        self._count(len(coded))
        apply(self._cells, ["text", self._index, name, text])
        self._recorder.changed(f'["text", {self._index}, {json.dumps(name)}, {coded}]')
        self._recorder.echo(text)

    def _push(self, tail: deque[tuple[str, str]], name: str, text: str) -> None:
        self._cut += max(0, len(text) - 2 * TAIL)
        text = text[-2 * TAIL :]
        tail.append((name, text))
        self._tail_length += len(text)
        while self._tail_length - len(tail[0][1]) >= 2 * TAIL:
            self._tail_length -= len(tail[0][1])
            self._cut += len(tail.popleft()[1])

    def _write_tail(self, tail: deque[tuple[str, str]]) -> None:
        # Twice as long as what is shown of it: the first half of a cut secret is not shown.
        name = tail[-1][0] if tail else "stdout"
        kept = "".join(text for _, text in tail)
        shown = self._scrubber.clean(kept)[-TAIL:]
        left_out = self._cut + max(0, len(kept) - TAIL)
        self._tail = None
        note = f"\n[{left_out} characters left out here: {self._why()}]\n" if left_out else ""
        text = note + shown
        if self._used < self._limit + SLACK:
            self._add(name, text, json.dumps(text))
        else:
            self._recorder.echo(note)

    def _why(self) -> str:
        return f"a run keeps {_megabytes(self._limit)} of output, a cell a quarter of that"

    def _rich(self, message: Message) -> None:
        content = message.content
        data = {
            kind: self._scrubber.clean_all(value, keys=True)
            for kind, value in _object(content.get("data")).items()
        }
        metadata = self._scrubber.clean_all(_object(content.get("metadata")))
        display = _object(content.get("transient")).get("display_id")
        if isinstance(display, str):
            self._update(display, data, metadata)
        if message.type == "update_display_data":
            return
        output = {"output_type": message.type, "metadata": metadata, "data": data}
        if message.type == "execute_result":
            output["execution_count"] = content.get("execution_count")
        self._prepare()
        coded = json.dumps(output)
        if self._used + len(coded) + COST > self._limit:
            if self._used >= self._limit:
                self._left_out += 1
                return
            output |= {"data": {"text/plain": self._too_large(data, len(coded))}, "metadata": {}}
            coded = json.dumps(output)
        place = (self._index, len(self._cells[self._index]["outputs"]))
        if isinstance(display, str):
            self._displays.setdefault(display, []).append(place)
            self._sizes[place] = len(coded)
        self._put(output, coded)
        text = output["data"].get("text/plain")
        if isinstance(text, str):
            self._recorder.echo(text, end_line=True)

    def _update(self, display: str, data: dict[str, Any], metadata: dict[str, Any]) -> None:
        places = self._displays.get(display, ())
        if not places:
            return
        self.flush()
        coded = json.dumps([data, metadata])
        for index, at in places:
            grown = len(coded) - self._sizes[index, at]
            if self._used + grown > self._limit:
                self._left_out += 1
                continue
            self._used += grown
            self._sizes[index, at] = len(coded)
            change = ["data", index, at, data, metadata]
            apply(self._cells, change)
            self._recorder.changed(json.dumps(change))

    def _too_large(self, data: dict[str, Any], size: int) -> str:
        return f"[{', '.join(data)} of {_megabytes(size)} left out: {self._why()}]"

    def _error(self, content: dict[str, Any]) -> None:
        self._prepare()
        lines = [str(line) for line in _list(content.get("traceback"))]
        text = self._scrubber.clean("\n".join(lines))
        if self._used >= self._limit:
            text = ""
        elif len(text) > TRACEBACK:
            left_out = len(text) - TRACEBACK
            half = TRACEBACK // 2
            text = f"{text[:half]}\n[{left_out} characters left out here]\n{text[-half:]}"
        output = {
            "output_type": "error",
            "ename": self._scrubber.clean(str(content.get("ename", "")))[:500],
            "evalue": self._scrubber.clean(str(content.get("evalue", "")))[:10_000],
            "traceback": text.split("\n") if text else [],
        }
        if self._used > self._limit + SLACK:
            self._left_out += 1
            return
        self._put(output, json.dumps(output))
        shown = text or f"{output['ename']}: {output['evalue']}"
        self._recorder.echo(_ANSI.sub("", shown), end_line=True)

    def _note(self, text: str) -> None:
        if self._used < self._limit + SLACK:
            self._add("stderr", text, json.dumps(text))
        else:
            self._recorder.echo(text)

    def _put(self, output: dict[str, Any], coded: str) -> None:
        self._count(len(coded) + COST)
        apply(self._cells, ["output", self._index, output])
        self._recorder.changed(f'["output", {self._index}, {coded}]')

    def _count(self, size: int) -> None:
        self._used += size
        self._cell_used += size

    def _prepare(self) -> None:
        """Something other than text comes: what was printed before it is written before it."""
        self._clear_if_wanted()
        for name, stream in self._streams.items():
            self._text(name, stream.rest())
        self.flush()

    def _clear(self, *, wait: bool) -> None:
        self._clear_next = wait
        if not wait:
            self._clear_now()

    def _clear_if_wanted(self) -> None:
        if self._clear_next:
            self._clear_now()

    def _clear_now(self) -> None:
        index = self._index
        self.flush()
        self._change("clear")
        self._used -= self._cell_used
        self.begin(index)
        self._sizes = {place: size for place, size in self._sizes.items() if place[0] != index}
        for display, places in self._displays.items():
            self._displays[display] = [place for place in places if place[0] != index]

    def _change(self, what: str, *values: Any) -> None:
        change = [what, self._index, *values]
        apply(self._cells, change)
        self._recorder.changed(json.dumps(change))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
