"""Send a message by e-mail."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime

from perijove_hub.jobs.notifications.exceptions import NotDelivered
from perijove_hub.jobs.notifications.message import Message
from perijove_hub.settings import SmtpSettings

TIMEOUT = 20.0


def send(address: str, message: Message, smtp: SmtpSettings) -> None:
    """Hand ``message`` to the mail server. Raises ``NotDelivered``."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = smtp.sender, address, message.subject
    mail["Date"] = format_datetime(message.at)
    # The same for every attempt, so that a mailbox that got it shows it once.
    mail["Message-ID"] = f"<{message.id}@perijove>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    try:
        with smtplib.SMTP(smtp.host, smtp.port, timeout=TIMEOUT) as server:
            if smtp.starttls:
                server.starttls(context=ssl.create_default_context())
            if smtp.user is not None:
                server.login(smtp.user, smtp.password())
            server.send_message(mail)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise NotDelivered(f"the mail server refused it ({_said(error)})") from None


def _said(error: Exception) -> str:
    code = getattr(error, "smtp_code", None)
    return f"{type(error).__name__} {code}" if code else type(error).__name__
