"""A page on which a person decides about what clean and aggregate found: `make curate`.

No stage of dvc.yaml: it writes `data/curation.csv`, which `clean` applies.
"""
