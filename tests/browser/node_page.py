"""One long-lived node process that runs the script in pages without elements."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tools.minify import node
from tracknow_static.browser.compose import compose
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from types import TracebackType

SHOP = "https://shop.example/"


def text(settings: Settings) -> str:
    """Give the whole script as one text, in the order in which a browser runs its parts."""
    script = compose(settings)
    return f"{script.inline or ''};\n{(script.asset or b'').decode('ascii')}"


NAME = "tn_click_id"
# Queries of landing pages, and the id that each gives.
QUERIES = [
    ("?click_id=abc", "abc"),
    ("?utm=1&click_id=A-b_9&x", "A-b_9"),
    ("?utm=a?click_id=b", "b"),
    ("?click_id=a?utm=b", "a"),
    ("?click_id=&click_id=b", "b"),
    ("?click_id={click_id}&click_id=b&click_id=c", "b"),
    ("?click_id=%7Bclick_id%7D&click_id=b", "b"),
    ("?a=%&click_id=b&c=%zz", "b"),
    ("?click_id=%E0%A4%A&click_id=b", "b"),
    ("?click_id=" + "x" * 200, "x" * 200),
    ("?click_id=" + "x" * 201, None),
    ("?click_id=a b", None),
    ("?click_id=a.b", None),
    ("?click_id={click_id}", None),
    ("?click_id=", None),
    ("?click_id", None),
    ("?xclick_id=a", None),
    ("?click_idx=a", None),
    ("?next=%3Fclick_id%3Da", None),
    ("#click_id=a", None),
]
# What capture leaves to carry.
ODD_QUERIES = [
    ("?click_id=a%2Db", "a-b"),
    ("?click%5Fid=%61bc", "abc"),
    ("?a#?click_id=a", "a"),
    ("#/page?click_id=a&b", "a"),
    ("?a=1&amp;click_id=a", "a"),
    ("?click_id=a%0A", "a"),
    ("?click_id=a%20", "a"),
    ("?click_id=%20a", "a"),
    ("?click_id=+a", "a"),
    ("?click_id=%E2%80%8Ba", "a"),
    ("?click_id=a%E2%80%8B", "a"),
    ("?click_id=%22a%22", "a"),
    ("?click_id='a'", "a"),
    ("?click_id=a/", "a"),
    ("?click_id=a)", "a"),
    ("?click_id=a).&b", "a"),
    ("?click_id=a,", "a"),
    ("?click_id=undefined", None),
    ("?click_id=null&click_id=b", "b"),
    ("?click_id=NaN", None),
    ("?click_id=[object%20Object]", None),
    ("?click_id=true", None),
    ("?click_id=false", None),
    ("?click_id=none", None),
    ("?click_id=%%CLICK_ID%%", None),
    ("?click_id=__CLICKID__", None),
    ("?click_id=--CLICK-ID--", None),
    ("?click_id=$CLICK_ID", None),
    ("?click_id=CLICK_ID", None),
    ("?click_id=[click_id]", None),
    ("?click_id=%5Baff_id%5D", None),
    ("?click_id=<click_id>", None),
    ("?click_id=YOUR_CLICK_ID", None),
    ("?url=https://other.example/?click_id=theirs", None),
    ("?url=https%3A%2F%2Fother.example/?click_id=theirs&click_id=b", "b"),
]


def cookie(value: str, domain: str = "") -> dict[str, Any]:
    """Give a cookie that another page wrote."""
    return {"name": NAME, "value": value, "domain": domain}


class NodePage:
    """A browser's store and its page; see node_page.js."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [node(), str(Path(__file__).with_name("node_page.js"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()

    def ask(self, do: str, **order: Any) -> Any:
        """Have a command done and give its result; raises AssertionError when it threw."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps({"do": do, **order}), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def reset(self, **state: Any) -> None:
        """Forget everything; ``state`` gives clock, jar, storage and what is refused."""
        self.ask("reset", **state)

    def load(self, query: str = "", settings: Settings | None = None, **page: Any) -> None:
        """Load a page of the shop."""
        url = page.pop("url", SHOP) + query
        self.ask("page", script=text(settings or Settings()), url=url, **page)

    def click_id(self) -> str | None:
        """Give what ``tracknow.clickId()`` gives."""
        return self.ask("run", code="tracknow.clickId()")  # type: ignore[no-any-return]

    def decorate(self, *urls: str) -> list[str]:
        """Give what ``tracknow.decorate()`` gives for each URL."""
        return self.ask("call", name="decorate", given=urls)  # type: ignore[no-any-return]

    def cookies(self) -> list[tuple[str, str, int]]:
        """Give value, domain and days left of each of our cookies."""
        return [
            (cookie["value"], cookie["domain"], cookie["days"])
            for cookie in self.ask("state")["cookies"]
            if cookie["name"] == "tn_click_id"
        ]

    def storage(self) -> dict[str, str]:
        """Give the localStorage."""
        return self.ask("state")["storage"]  # type: ignore[no-any-return]

    def log(self) -> list[list[Any]]:
        """Give what was written since the page was loaded."""
        return self.ask("state")["log"]  # type: ignore[no-any-return]
