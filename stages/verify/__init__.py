"""`python -m stages.verify`: one command by which a reviewer checks that the committed results are true.

It is not a stage of dvc.yaml. It judges the pipeline from outside, in scratch copies, and writes only
`verify/certificate.json` and `.md`, which git ignores.
"""
