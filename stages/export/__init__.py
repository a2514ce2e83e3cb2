"""Hand on the network that won: ONNX, a model card, a data card, and a model that MLflow serves.

No stage of dvc.yaml: nothing here changes a result, and nothing is chosen on test images.
"""
