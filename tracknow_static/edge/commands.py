"""``tracknow-static edge``: prints or writes the files for one host."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import jinja2  # noqa: F401 - without the extra the command is not available

from tracknow_static import exit_codes
from tracknow_static.edge.files import HOSTS, is_ours, render
from tracknow_static.flags import with_settings
from tracknow_static.tracknow import clean

if TYPE_CHECKING:
    from tracknow_static.config import Project


@click.command(epilog=exit_codes.epilog(exit_codes.FAILED))
@click.argument("host", type=click.Choice(HOSTS))
@click.option(
    "--write",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the files below this folder, the project's root, instead of printing them.",
)
@with_settings
def edge(project: Project, host: str, folder: Path | None) -> None:
    """Print the file that makes HOST set the click id's cookie on landings.

    Safari removes what a script stores after seven days without a visit. A cookie that the site's
    own server sets by a header stays for the whole attribution window.
    """
    files = render(host, project.settings)
    if folder is None:
        click.echo("\n".join(file.text for file in files), nl=False)
        return
    paths = [folder / file.path for file in files]
    foreign = [path for path in paths if path.exists() and not is_ours(path)]
    if foreign:
        raise click.UsageError(
            f"--write {folder}: {foreign[0]} exists and was not made by this command. "
            f"Run it without --write and merge the two."
        )
    for path, file in zip(paths, files, strict=True):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text, encoding="utf-8")
        except OSError as error:
            click.echo(clean(f"Error: {path}: {error.strerror}"), err=True)
            sys.exit(exit_codes.FAILED)
        click.echo(clean(f"wrote {path}"))
