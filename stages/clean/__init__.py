"""Decode, fingerprint, group duplicates, decide, lay out; every file of the raw manifest gets a row in the ledger."""
