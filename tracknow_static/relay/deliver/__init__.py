"""Deliveries: what is stored goes to every destination until it is accepted."""
