"""Alerts by mail, through Apprise, to an SMTP server on this machine."""

from __future__ import annotations

import contextlib
import email
import email.policy
import socketserver
import threading
from functools import partial
from typing import TYPE_CHECKING

from tests.events import encode, purchase
from tests.relay.alerts.parts import config
from tests.relay.alerts.test_rounds import HOUR, revive
from tests.relay.store.parts import A, Clock, dead, new
from tests.relay.store.parts import accept as add
from tracknow_static.relay.alerts import rounds
from tracknow_static.relay.alerts.rounds import Alerts
from tracknow_static.relay.alerts.send import send
from tracknow_static.relay.store import leases
from tracknow_static.relay.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

    import pytest


class Mailbox(socketserver.ThreadingTCPServer):
    """Takes mail by SMTP (RFC 5321), without extensions, and keeps it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.messages: list[bytes] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Serve until the block ends; provide the Apprise URL."""
        thread = threading.Thread(target=self.serve_forever)
        with self:
            thread.start()
            try:
                port = self.server_address[1]
                yield f"mailto://127.0.0.1:{port}?from=relay@shop.example&to=owner@shop.example"
            finally:
                self.shutdown()
                thread.join()

    def read(self) -> list[EmailMessage]:
        """Return the messages in the order in which they came."""
        return [email.message_from_bytes(one, policy=email.policy.default) for one in self.messages]


class _Session(socketserver.StreamRequestHandler):
    server: Mailbox

    def handle(self) -> None:
        self.wfile.write(b"220 mail.example\r\n")
        for line in self.rfile:
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.messages.append(b"".join(one.removeprefix(b".") for one in lines))
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            if word == b"QUIT":
                return


def test_one_mail_when_it_begins_and_one_when_it_ends(
    sqlite_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both name the condition and the command that helps, and no customer."""
    # More time than a busy machine needs, and a lease that is longer still.
    monkeypatch.setattr(rounds, "send", partial(send, seconds=300.0))
    monkeypatch.setattr(rounds, "LEASE_SECONDS", 600.0)
    customer = {"email": "jenny@customer.example", "name": "Jenny Rosen"}
    database = Database(sqlite_url, [A], clock=clock)
    payload = encode(purchase("planted", {"customer_details": customer}))
    add(database, new(payload=payload, reference="click_planted", customer="cus_planted"))
    for claimed in leases.claim(database, limit=9, lease_seconds=9):
        dead(database, claimed, status=400, error=None)
    mailbox = Mailbox()
    with mailbox.running() as url:
        alerts = Alerts(config(url), database)
        assert [alerts.round(), alerts.round()] == [1, 0]
        clock.time += 2 * HOUR
        revive(database)
        assert [alerts.round(), alerts.round()] == [1, 0]
    database.close()
    begun, ended = mailbox.read()
    assert {mail["To"] for mail in (begun, ended)} == {"owner@shop.example"}
    text = str(begun.get_body(("plain", "html")))
    assert "dead-letter" in begun["Subject"]
    assert "tracknow-relay list --state dead" in text
    assert begun["Subject"] != ended["Subject"]
    whole = b"".join(mailbox.messages).decode() + text + str(ended.get_body(("plain", "html")))
    for word in ("jenny", "rosen", "customer.example", "planted"):
        assert word not in whole.lower()
