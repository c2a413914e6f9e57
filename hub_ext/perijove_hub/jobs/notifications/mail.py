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
    try:
        mail = _written(address, message, smtp)
        password = smtp.password() if smtp.user is not None else ""
    except (OSError, ValueError) as error:
        raise NotDelivered(f"it cannot be written here ({type(error).__name__})") from None
    try:
        with smtplib.SMTP(smtp.host, smtp.port, timeout=TIMEOUT) as server:
            if smtp.starttls:
                server.starttls(context=ssl.create_default_context())
            if smtp.user is not None:
                server.login(smtp.user, password)
            server.send_message(mail)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise NotDelivered(_said(error)) from None


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
