"""The model server: one process, one MLflow model, MLflow's scoring protocol.

``python -m perijove.replica --model DIR --host H --port 0 --announce FILE``
"""
