"""The ``tracknow-relay`` command, and what a relay does by itself beside its work."""
