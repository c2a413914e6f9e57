"""Kernels that run in containers of their own, away from the user's Jupyter server.

``specs`` lists them in the launcher, ``provisioner`` starts them through the control plane,
``tunnel`` carries their sockets, and ``inside`` is what runs in the container.
"""
