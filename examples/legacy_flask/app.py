"""A blocking web application on Flask that gives new colleagues a phone; see README.md."""

from __future__ import annotations

import logging
import os
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import store
from flask import Flask, abort, flash, redirect, render_template, request, url_for

from plivo_endpoints import Client, InvalidArgumentError, OutcomeUnknownError, PlivoError

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

TIMEOUT = 10.0  # seconds for a call; gunicorn ends a worker that is busy for 30
# Seconds in which a create that was sent may still be carried out; less only for the sandbox.
SETTLE = float(os.environ.get("SETTLE", "120"))

logging.basicConfig(level=logging.INFO)
app = Flask(__name__)
app.secret_key = os.environ["FLASK_SECRET_KEY"]  # the same for all workers

# Created here, but used only in requests: so each worker has connections of its own, also with `--preload`.
client = Client(timeout=TIMEOUT)


@app.get("/")
def overview() -> str:
    """Show all phones, and a form for another."""
    return render_template("phones.html", phones=store.everything())


@app.post("/phones")
def create_phone() -> Response:
    """Create a colleague's phone, unless they have one."""
    name = request.form.get("name", "").strip()
    alias = f"{name}-{secrets.token_hex(4)}"  # unique, so that a lost create can be told from all others
    if not store.claim(name, alias):
        flash(f"{name} has a phone already, or it is being created.")
    else:
        send_create(name, alias)
    return redirect(url_for("overview"), 303)


def send_create(name: str, alias: str) -> None:
    """Create the endpoint, and record the truth about it."""
    try:
        made = client.endpoints.create(username=name, password=secrets.token_urlsafe(12), alias=alias)
    except OutcomeUnknownError:  # it was sent, and may exist: do not repeat it
        store.set_status(name, "unknown")
        look_for(name)
    except InvalidArgumentError as error:
        store.remove(alias)
        flash(f"This cannot be a name: it {error.rule}.")
    except PlivoError:  # it was certainly not created
        app.logger.exception("no phone was created")
        store.remove(alias)
        flash(f"The phone of {name} was not created. Try again later.")
    else:
        store.set_ready(name, made.endpoint_id, made.username)


@app.post("/phones/<name>/look")
def look_again(name: str) -> Response:
    """Look for a phone whose create got no answer."""
    look_for(name)
    return redirect(url_for("overview"), 303)


def look_for(name: str) -> None:
    """Look on the account for a phone whose create got no answer, and record what is certain."""
    phone = store.get(name) or abort(404)
    if phone.status == "ready":
        return
    # Before the account is read: what this look does not find may still appear if it began too early.
    can_still_appear = datetime.now(UTC) <= phone.sent_at + timedelta(seconds=TIMEOUT + SETTLE)
    try:
        # With `settle=0`, one look: `find_created` would otherwise keep this worker until it is certain.
        found = client.endpoints.find_created(
            username=phone.name, alias=phone.alias, sent_at=phone.sent_at, settle=0
        )
    except PlivoError:
        app.logger.exception("the account could not be read")
        flash("Plivo cannot be reached. Look again later.")
        return
    if len(found) == 1:
        store.set_ready(name, found[0].endpoint_id, found[0].username)
    elif found:
        store.set_status(name, "review")
    elif can_still_appear:
        flash(f"There is no phone of {name} yet, but it may still appear.")
    else:
        store.remove(phone.alias)
        flash(f"The phone of {name} was not created. You can create it now.")
