"""Experiments: MLflow behind the Hub's identity."""
