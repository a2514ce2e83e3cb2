"""The pipeline: one folder is one stage of dvc.yaml."""
