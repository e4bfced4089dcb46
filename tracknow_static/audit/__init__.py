"""The audit of a built site: what a merchant wants to know before publishing."""
