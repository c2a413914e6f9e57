"""``perijove jobs notify|notifications``."""

from __future__ import annotations

import sys
from typing import Any

import click

from perijove import jobs as api
from perijove.jobs.notifying import NOTIFY
from perijove.magics.jobs.tables import deliveries_table, notifications_table
from perijove_hub.cli.jobs.flags import AS_JSON, OWNER, flags, said
from perijove_hub.cli.jobs.printing import show


@click.command()
@click.argument("name")
@click.option("--webhook", metavar="URL", help="Signed messages go there; - to read it from here.")
@click.option("--email", metavar="ADDRESS", help="Of a domain that an administrator lists.")
@flags(NOTIFY)
@click.option("--test", is_flag=True, help="Send a message at once that tells of no run.")
@OWNER
@AS_JSON
def notify(
    name: str,
    webhook: str | None,
    email: str | None,
    test: bool,
    owner: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Have somebody told when runs of the job NAME fail and recover."""
    if webhook == "-":
        webhook = sys.stdin.readline().strip()
    order = api.notify(name, webhook=webhook, email=email, owner=owner, **said(given))
    show(order, notifications_table([order]), as_json=as_json)
    if order.signing_key and not as_json:
        click.echo(f"Messages are signed with {order.signing_key}, which is shown only now.")
    if test:
        api.try_notification(order.id)
        click.echo("A test message has arrived.", err=as_json)


@click.command()
@click.argument("name")
@click.option("--remove", metavar="ID", help="Tell that one no more.")
@click.option("--test", metavar="ID", help="Send that one a message at once.")
@click.option("--messages", is_flag=True, help="List the newest messages, and why any failed.")
@OWNER
@AS_JSON
def notifications(
    name: str,
    remove: str | None,
    test: str | None,
    messages: bool,
    owner: str | None,
    as_json: bool,
) -> None:
    """List who is told of runs of the job NAME."""
    if messages:
        sent = api.deliveries(name, owner=owner)
        show(sent, deliveries_table(sent), as_json=as_json)
        return
    if test:
        api.try_notification(test)
        click.echo("A test message has arrived.", err=as_json)
    if remove:
        api.unnotify(remove)
    found = api.notifications(name, owner=owner)
    show(found, notifications_table(found), as_json=as_json)
