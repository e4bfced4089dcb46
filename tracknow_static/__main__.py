"""``python -m tracknow_static`` is the ``tracknow-static`` command."""

from tracknow_static.cli import main

main()
