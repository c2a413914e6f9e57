"""Models: deployments, replicas and the gateway before them."""
