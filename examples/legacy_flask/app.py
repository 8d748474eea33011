"""A blocking web application on Flask that gives new colleagues a phone; see README.md."""

from __future__ import annotations

import logging
import os
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import store
from flask import Flask, abort, flash, redirect, render_template, request, url_for

from plivo_endpoints import Client, Endpoint, InvalidArgumentError, OutcomeUnknownError, PlivoError

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

TIMEOUT = 10.0  # seconds for a call; gunicorn ends a worker that is busy for 30
SETTLE = float(os.environ.get("SETTLE", "120"))  # seconds; less only for the sandbox

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
    try:
        found = matching_endpoints(phone)
    except PlivoError:
        app.logger.exception("the account could not be read")
        flash("Plivo cannot be reached. Look again later.")
        return
    if len(found) == 1:
        store.set_ready(name, found[0].endpoint_id, found[0].username)
    elif found:
        store.set_status(name, "review")
    elif is_over(phone):
        store.remove(phone.alias)
        flash(f"The phone of {name} was not created. You can create it now.")
    else:
        flash(f"There is no phone of {name} yet, but it may still appear.")


def matching_endpoints(phone: store.Phone) -> list[Endpoint]:
    """Return the endpoints that the create of a phone can have made."""
    if is_over(phone):  # one complete look is certain: nothing can appear later
        name, alias, sent_at = phone.name, phone.alias, phone.sent_at
        return list(client.endpoints.find_created(username=name, alias=alias, sent_at=sent_at, settle=SETTLE))
    # `find_created` would keep this worker until it is over. One look takes moments, and finds what is there.
    return list(client.endpoints.list(alias=phone.alias, username_prefix=phone.name))


def is_over(phone: store.Phone) -> bool:
    """Whether the create can no longer be carried out: it was sent at most TIMEOUT after it was recorded."""
    sent_at: datetime = phone.sent_at
    return datetime.now(UTC) > sent_at + timedelta(seconds=TIMEOUT + SETTLE)
