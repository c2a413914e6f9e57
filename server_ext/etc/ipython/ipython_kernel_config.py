# `%load_ext perijove` in every kernel of this environment.
# An environment can outlive the package; a kernel must start without it.
from importlib.util import find_spec

c = get_config()  # noqa: F821

if find_spec("perijove") is not None:
    c.IPKernelApp.extensions.append("perijove")
