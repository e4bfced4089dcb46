"""What the code of a finding is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Code:
    """One kind of finding: stable ``name``, usual severity, what it means and how to fix it.

    A warning is something that the site's author can fix; anything else is an info.
    """

    name: str
    severity: Severity
    meaning: str
    fix: str = ""
