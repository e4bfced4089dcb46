"""The status page: what the relay does and what became of each sale, behind a password."""
