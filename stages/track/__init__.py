"""Stage `track`: log to MLflow every cell that it does not know yet, from the cell's files.

Nothing is logged while a cell trains: a cell that DVC restores from its cache never trains, an interrupted one would
stay RUNNING, and MLflow's import would cost each cell two seconds. A run here is made from whole results, once per
fingerprint (the SHA-256 of the cell's results), however the cell came to be.
"""
