"""How events reach their destinations."""
