"""Steps that are run one after the other, printed as they happen, and counted."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME_WIDTH = 30


@dataclass
class Steps:
    """Runs steps, prints what each of them saw, and counts those that failed.

    A step is a function that returns a line to print, or raises. After a step that failed, the rest
    of its section is not tried: it would start from the wrong page.
    """

    console: Console = field(default_factory=lambda: Console(highlight=False))
    failed: list[str] = field(default_factory=list)
    done: int = 0
    _broken: bool = False

    def explain(self, *paragraphs: str) -> None:
        """Print text for the reader, at most 80 columns wide."""
        for paragraph in paragraphs:
            self.console.print(paragraph, width=min(self.console.width, 80))

    def section(self, title: str, subtitle: str = "") -> None:
        """Begin a section."""
        self._broken = False
        self.console.print()
        self.console.print(Text.assemble((title, "bold"), (f"  {subtitle}".rstrip(), "dim")))

    def run(self, name: str, action: Callable[[], str]) -> None:
        """Run one step and print its result."""
        if self._broken:
            self._print("–", "dim", name, "not tried", "dim")
            self.failed.append(name)
            return
        started = time.monotonic()
        try:
            with self.console.status(f"  {name} …", spinner="dots"):
                seen = action()
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the step failed
            self.failed.append(name)
            self._broken = True
            # Addresses inside a browser's driver help nobody.
            reason = str(error).partition("\nStacktrace:")[0] or type(error).__name__
            self._print("✗", "bold red", name, reason, "red")
        else:
            self.done += 1
            self._print("✓", "bold green", name, seen, "", time.monotonic() - started)

    def end(self) -> int:
        """Print the count; return the exit code."""
        self.console.print()
        if self.failed:
            names = ", ".join(self.failed)
            self.console.print(
                f"[bold red]Failed or not tried: {names}[/]; {self.done} steps passed"
            )
            return 1
        self.console.print(f"[bold green]All {self.done} steps passed.[/]")
        return 0

    def stopped(self) -> None:
        """Print that the run was stopped before its end."""
        self.console.print(f"\n[bold]Stopped[/] after {self.done} steps")

    def _print(
        self, sign: str, style: str, name: str, seen: str, seen_style: str, seconds: float = 0
    ) -> None:
        first, *more = seen.splitlines() or [""]
        clock = f"{seconds:5.1f} s" if sign == "✓" else ""
        head = Text.assemble(
            "  ", (sign, style), " ", name.ljust(_NAME_WIDTH), (clock.ljust(9), "dim")
        )
        self.console.print(Text.assemble(head, _marked(first, seen_style)), soft_wrap=True)
        for line in more:
            self.console.print(
                Text.assemble(" " * (_NAME_WIDTH + 13), _marked(line, seen_style)), soft_wrap=True
            )


def _marked(text: str, style: str) -> Text:
    """Return the text with the reference in bold: it is what the demo is about."""
    marked = Text(text, style=style)
    marked.highlight_regex(r"(client_reference_id|tn_click_id)=[\w-]+", "bold cyan")
    return marked
