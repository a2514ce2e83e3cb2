"""Use the network that won: labels and calibrated probabilities for pictures that the study has never seen.

No stage of dvc.yaml: nothing here changes a result. A picture is decoded as `clean` decodes it and resized as `train`
resizes it, so a picture of the test set gets the logits that the report was made from.
"""
