"""What runs in the visitor's browser: sources, their minified form, and the tag made of it."""
