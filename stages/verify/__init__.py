"""Is this repository what it says it is? One command for a reviewer who distrusts us: `python -m stages.verify`.

No stage of dvc.yaml: it judges the pipeline from outside, in scratch copies, and writes nothing but
`verify/certificate.json` and `.md` (ignored by git).
"""
