"""Widgets of a notebook: nbclient knows how a front end answers them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from perijove.runner.kernel import Message

if TYPE_CHECKING:
    from nbclient import NotebookClient

#: Bytes of messages of widgets that are kept at most.
LIMIT = 32 * 2**20


class Widgets:
    """The state of widgets, which a viewer needs to draw them; there are none mostly."""

    def __init__(self, notebook: Any, client: Any) -> None:
        self._notebook = notebook
        self._kernel_client = client
        self._client: NotebookClient | None = None
        self._size = 0

    def take(self, message: Message) -> bool:
        """Take a message for a widget; tell whether it was one."""
        comm = message.type.startswith("comm")
        if self._client is None:
            if not comm:
                return False
            from nbclient import NotebookClient

            self._client = NotebookClient(self._notebook)
            self._client.kc = self._kernel_client
        if not comm and not self._client.output_hook_stack.get(message.parent):
            return False
        self._size += message.size
        if self._size <= LIMIT:
            # A widget of another version may say what nbclient does not expect.
            with suppress(Exception):
                self._hear(self._client, message)
        return True

    def _hear(self, client: NotebookClient, message: Message) -> None:
        said = message.as_dict()
        if message.type.startswith("comm"):
            client.handle_comm_msg([], said, 0)
        elif message.type == "clear_output":
            client.clear_output([], said, 0)
        elif message.type in ("stream", "display_data", "execute_result", "error"):
            client.output([], said, None, 0)

    def state(self) -> dict[str, Any] | None:
        """Return the notebook's metadata of widgets."""
        if self._client is None:
            return None
        self._client.set_widgets_metadata()
        state: dict[str, Any] | None = self._notebook.metadata.get("widgets")
        return state
