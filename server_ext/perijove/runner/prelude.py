"""What a Python kernel is asked before its first cell, so that none of its output is dropped."""

from __future__ import annotations

#: Messages that may wait in the kernel, and as many at our end.
WAITING = 256
#: Most characters of one message of a stream, so that what waits is bounded in bytes too.
PIECE = 2**18

_CODE = f"""
def prepare():
    from IPython import get_ipython
    import zmq

    kernel = get_ipython().kernel
    thread = kernel.iopub_socket.io_thread

    def wait():
        # ipykernel drops what comes on top of a thousand messages; now it waits for its reader.
        thread.socket.setsockopt(zmq.XPUB_NODROP, 1)
        thread.socket.setsockopt(zmq.SNDHWM, {WAITING})

    thread.schedule(wait)
    session = kernel.session
    send = session.send

    def send_in_pieces(stream, message, *rest, **options):
        if isinstance(message, dict) and message.get("msg_type") == "stream":
            text, parent = message["content"]["text"], message["parent_header"]
            for at in range({PIECE}, len(text), {PIECE}):
                content = dict(message["content"], text=text[at - {PIECE} : at])
                piece = session.msg("stream", content, parent={{"header": parent}})
                send(stream, piece, *rest, **options)
                message["content"]["text"] = text[at : at + {PIECE}]
        return send(stream, message, *rest, **options)

    session.send = send_in_pieces

prepare()
"""

#: One expression with names of its own: the notebook's namespace stays clean.
SOURCE = f"exec({_CODE!r}, {{}})"
