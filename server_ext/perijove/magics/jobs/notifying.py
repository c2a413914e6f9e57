"""``%job notify|notifications``."""

from __future__ import annotations

from typing import Any

from perijove import jobs
from perijove.jobs.notifying import NOTIFY
from perijove.magics.arguments import Command
from perijove.magics.display import Listing, say
from perijove.magics.jobs.tables import deliveries_table, notifications_table

# No flag takes a webhook: its URL may hold a password, which a notebook would keep.
ORDER = Command(
    "%job notify NAME --email ADDRESS [--on failed,recovered] [--late-after 2h] [--test]",
    words=(1, 1),
    flags={"--email": str, "--test": bool, "--owner": str},
    options=NOTIFY,
)
LIST = Command(
    "%job notifications NAME [--remove ID | --test ID | --messages]",
    words=(1, 1),
    flags={"--remove": str, "--test": str, "--messages": bool, "--owner": str},
)


def notify(line: str) -> Listing:
    """Have somebody told of a job's runs by e-mail."""
    given = ORDER.parse(line)
    if not given["--email"]:
        raise ORDER.wrong(
            "To whom? A webhook's URL may hold a password, so it is given on the job's page or "
            "to `perijove jobs notify`."
        )
    name = given.words[0]
    order = jobs.notify(name, email=given["--email"], owner=given["--owner"], **given.options)
    say(f"{order.target} is told of {name}.")
    if given["--test"]:
        jobs.try_notification(order.id)
        say("A test message has arrived.")
    return notifications_table([order])


def notifications(line: str) -> Listing:
    """List who is told of a job's runs, or what they were told."""
    given = LIST.parse(line)
    if given["--messages"]:
        return deliveries_table(jobs.deliveries(given.words[0], owner=given["--owner"]))
    if given["--test"]:
        jobs.try_notification(given["--test"])
        say("A test message has arrived.")
    if given["--remove"]:
        jobs.unnotify(given["--remove"])
    return notifications_table(jobs.notifications(given.words[0], owner=given["--owner"]))


VERBS: dict[str, Any] = {"notify": notify, "notifications": notifications}
