"""Whether a click id survives on the deployed site: asked over HTTP, as a visitor's browser asks."""
