"""What a Python kernel is asked before its first cell, so that none of its output is dropped."""

from __future__ import annotations

#: Messages that may wait at our end; a thousand at the kernel's, which is ZeroMQ's default. To
#: change that at an open connection leaves its two ends with different ideas, and both waiting.
WAITING = 256
#: Most characters of one message of a stream, so that what waits is bounded in bytes too.
PIECE = 2**16

_CODE = f"""
def prepare():
    from IPython import get_ipython
    import faulthandler, sys, threading, zmq

    kernel = get_ipython().kernel
    thread = kernel.iopub_socket.io_thread

    # ipykernel drops what comes on top of a thousand messages; now it waits for its reader.
    thread.schedule(lambda: thread.socket.setsockopt(zmq.XPUB_NODROP, 1))
    session = kernel.session
    send = session.send

    def send_in_pieces(stream, message, *rest, **options):
        here = threading.current_thread() is thread.thread
        if here and isinstance(message, dict) and message.get("msg_type") == "stream":
            text, parent = message["content"]["text"], message["parent_header"]
            try:
                text.encode()
            except UnicodeEncodeError:
                # Half a surrogate: the whole message would be lost.
                text = text.encode(errors="backslashreplace").decode()
            for at in range(0, len(text), {PIECE}):
                content = dict(message["content"], text=text[at : at + {PIECE}])
                piece = session.msg("stream", content, parent={{"header": parent}})
                # At once: what this thread asks itself for waits in a pipe that can be full.
                send(thread.socket, piece, *rest, **options)
            return message
        return send(stream, message, *rest, **options)

    session.send = send_in_pieces

    # Where Python says why it crashed: not into a pipe that ends with it.
    faulthandler.enable(getattr(sys.stderr, "_original_stdstream_copy", sys.__stderr__))

    # It ends when its children have, which takes half a minute with one that nobody waited for,
    # and half of that with the trackers of joblib and multiprocessing: they hear no SIGTERM, and
    # end when the kernel does.
    import psutil

    children = kernel._process_children

    def runs(child):
        try:
            dead = child.status() == psutil.STATUS_ZOMBIE
            return not dead and "resource_tracker" not in " ".join(child.cmdline())
        except psutil.Error:
            return False

    kernel._process_children = lambda: [child for child in children() if runs(child)]

prepare()
"""

#: One expression with names of its own: the notebook's namespace stays clean.
SOURCE = f"exec({_CODE!r}, {{}})"
