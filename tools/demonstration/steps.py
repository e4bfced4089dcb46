"""Steps that are told as they happen, and counted."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME_WIDTH = 32


@dataclass
class Steps:
    """Runs steps, prints each with what was seen, and knows how many failed.

    A step is a function that gives a line for a person, or raises. When one failed the rest of
    its chapter is not tried: it would start from the wrong page.
    """

    console: Console = field(default_factory=lambda: Console(highlight=False))
    failed: list[str] = field(default_factory=list)
    done: int = 0
    _broken: bool = False

    def section(self, title: str, subtitle: str = "") -> None:
        """Begin a new part."""
        self._broken = False
        self.console.print()
        self.console.print(Text.assemble((title, "bold"), ("  " + subtitle, "dim")))

    def run(self, name: str, action: Callable[[], str]) -> None:
        """Run one step and tell what came of it."""
        if self._broken:
            self._line("–", "dim", name, "not tried", "dim")
            self.failed.append(name)
            return
        started = time.monotonic()
        try:
            with self.console.status(f"  {name} …", spinner="dots"):
                seen = action()
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the visitor did not get on
            self.failed.append(name)
            self._broken = True
            # Addresses inside a browser's driver help nobody.
            why = str(error).partition("\nStacktrace:")[0] or type(error).__name__
            self._line("✗", "bold red", name, why, "red")
        else:
            self.done += 1
            self._line("✓", "bold green", name, seen, "", time.monotonic() - started)

    def end(self) -> int:
        """Tell the count and give an exit code."""
        self.console.print()
        if self.failed:
            self.console.print(
                f"[bold red]Failed or not tried: {', '.join(self.failed)}[/]; {self.done} steps went well"
            )
            return 1
        self.console.print(f"[bold green]All {self.done} steps went well[/]")
        return 0

    def stopped(self) -> None:
        """Tell that somebody stopped the steps before its end."""
        self.console.print(f"\n[bold]Stopped[/] after {self.done} steps")

    def _line(
        self, sign: str, style: str, name: str, seen: str, seen_style: str, seconds: float = 0
    ) -> None:
        first, *more = seen.splitlines() or [""]
        clock = f"{seconds:5.1f} s" if sign == "✓" else ""
        head = Text.assemble(
            "  ", (sign, style), " ", name.ljust(_NAME_WIDTH), (clock.ljust(9), "dim")
        )
        self.console.print(Text.assemble(head, _marked(first, seen_style)), soft_wrap=True)
        for rest in more:
            self.console.print(
                Text.assemble(" " * (_NAME_WIDTH + 13), _marked(rest, seen_style)), soft_wrap=True
            )


def _marked(text: str, style: str) -> Text:
    """Let the reference stand out: it is what all this is about."""
    marked = Text(text, style=style)
    marked.highlight_regex(
        r"(client_reference_id|client-reference-id|tn_click_id)=[\w-]+", "bold cyan"
    )
    return marked
