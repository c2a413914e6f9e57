"""Send a message by e-mail."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import threading
import time
from email.message import EmailMessage
from email.utils import format_datetime

from perijove_hub.jobs.notifications.exceptions import NotDelivered
from perijove_hub.jobs.notifications.message import Message
from perijove_hub.settings import SmtpSettings

#: Seconds for each part of an exchange, and for all that follows its connection.
TIMEOUT, ALTOGETHER = 20.0, 45.0


def send(address: str, message: Message, smtp: SmtpSettings) -> None:
    """Hand ``message`` to the mail server. Raises ``NotDelivered``."""
    try:
        mail = _written(address, message, smtp)
        password = smtp.password() if smtp.user is not None else ""
    except (OSError, ValueError) as error:
        raise NotDelivered(f"it cannot be written here ({type(error).__name__})") from None
    began = time.monotonic()
    try:
        with _Server(smtp.host, smtp.port, timeout=TIMEOUT) as server:
            if smtp.starttls:
                server.starttls(context=ssl.create_default_context())
            if smtp.user is not None:
                server.login(smtp.user, password)
            server.send_message(mail)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        if time.monotonic() - began >= ALTOGETHER:
            raise NotDelivered("the mail server takes too long") from None
        raise NotDelivered(_said(error)) from None


class _Server(smtplib.SMTP):
    """A mail server that is heard for ``ALTOGETHER`` at most: a byte now and then is no answer."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        found: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        # A second hold on the connection: TLS takes the first away while it begins.
        self._held = found.dup()
        self._limit = threading.Timer(ALTOGETHER, self._cut)
        self._limit.daemon = True
        self._limit.start()
        return found

    def _cut(self) -> None:
        # Perhaps it has just been closed.
        with contextlib.suppress(OSError):
            self._held.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._limit.cancel()
        self._held.close()
        super().close()


def _written(address: str, message: Message, smtp: SmtpSettings) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = smtp.sender, address, message.subject
    mail["Date"] = format_datetime(message.at)
    # The same for every attempt, so that a mailbox that got it shows it once.
    mail["Message-ID"] = f"<{message.id}@perijove>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    return mail


def _said(error: Exception) -> str:
    """Say what is wrong without the server's own words, which may quote anything."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"the mail server refused the platform's password ({error.smtp_code})"
    if isinstance(error, ssl.SSLError):
        return f"the mail server's certificate or TLS is not right ({type(error).__name__})"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "the mail server lacks TLS, a way to log in or such addresses"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = sorted({code for code, _ in error.recipients.values()})
        return f"the mail server refused the address ({', '.join(map(str, codes))})"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the mail server refused it ({error.smtp_code})"
    return f"the mail server does not answer ({type(error).__name__})"
