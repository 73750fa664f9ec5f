"""The Obyte protocol: canonical forms, keys, units, proofs, and a light node.

Nothing in here knows of payment channels; it imports nothing of the package but the root of the errors.
"""
