"""The proof: a real browser takes every payment route of a built site, against a local stand-in."""
