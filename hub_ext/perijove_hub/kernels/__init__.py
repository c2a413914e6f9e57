"""Remote kernels: what may start, the containers, and the way to their sockets."""
