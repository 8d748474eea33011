"""`provision`: keep the endpoints of an account as a file describes them."""

from __future__ import annotations

from typing import Final

import click

from plivo_endpoints.cli.options import SharingGroup, shared_options
from plivo_endpoints.cli.provision.apply import apply
from plivo_endpoints.cli.provision.check import audit, drift, duplicates, status
from plivo_endpoints.cli.provision.joint import enqueue, state, work
from plivo_endpoints.cli.provision.options import EXIT_STATUS
from plivo_endpoints.cli.provision.output import KEY_STEPS
from plivo_endpoints.cli.provision.plan import plan, validate
from plivo_endpoints.cli.provision.results import results
from plivo_endpoints.cli.provision.transfer import export, import_

_FIRST_STEPS: Final = f"""
\b
First steps:
{KEY_STEPS}
  plivo-endpoints provision validate users.csv
  plivo-endpoints provision plan users.csv
  plivo-endpoints provision apply users.csv
  plivo-endpoints provision results --out made.csv
"""


@click.group(cls=SharingGroup, epilog=_FIRST_STEPS + EXIT_STATUS)
@shared_options
def provision() -> None:
    """Keep an account's endpoints as a file describes them.

    Each row gets exactly one endpoint, even after lost answers, crashes and power cuts. Edit the file and
    apply it again: a new alias, application or password updates the endpoint, and the endpoint of a removed
    row is deleted if you allow it.

    The source is a CSV file whose first line names the columns, or JSON lines (*.jsonl), or one of these
    compressed (*.gz); - is standard input. The columns are username and alias, and optionally password,
    password_version, app_id and key. Rows without a password get one that is derived from the master key in
    PLIVO_PROVISION_KEY. Keep that key: with it, `results --passwords` shows the passwords. Also keep the
    state, a file in the current folder that remembers which endpoint belongs to which row. If the state is in
    a database instead, several machines can apply a source together.
    """


for _command in (
    *(validate, plan, apply, status, results, drift, audit, duplicates, import_, export),
    *(work, enqueue, state),
):
    provision.add_command(_command)
