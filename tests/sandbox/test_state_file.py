"""An account that outlives its sandbox."""

import stat
from pathlib import Path

import aiohttp
import pytest

from plivo_endpoints.sandbox import Sandbox


async def test_an_account_is_kept(tmp_path: Path) -> None:
    """Credentials, subaccounts, endpoints and registrations come back; ids and names go on."""
    file = tmp_path / "state.json"
    async with Sandbox(endpoints=3, state_file=file) as before:
        subaccount = before.add_subaccount()
        registered = next(iter(before.endpoints))
        before.register(registered)
    with Sandbox(endpoints=3, state_file=file) as after:
        assert (after.auth_id, after.auth_token) == (before.auth_id, before.auth_token)
        assert dict(after.endpoints) == dict(before.endpoints)
        after.seed(1)
    assert list(after.endpoints)[:3] == list(before.endpoints)
    assert 4 == len({endpoint.username for endpoint in after.endpoints.values()})
    async with Sandbox(state_file=str(file)) as third, aiohttp.ClientSession(third.base_url) as session:
        headers = {"Authorization": aiohttp.encode_basic_auth(subaccount.auth_id, subaccount.auth_token)}
        async with session.get(f"/v1/Account/{subaccount.auth_id}/Endpoint/", headers=headers) as response:
            assert 200 == response.status
    assert (4, True) == (len(third.endpoints), third.endpoints[registered].sip_registered)


def test_only_its_owner_reads_the_file(tmp_path: Path) -> None:
    """The token is in it; nothing else is left in the folder."""
    file = tmp_path / "state.json"
    with Sandbox(state_file=file):
        pass
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert [file] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        *["", "[]", "{}", "null", '{"format": 2}', '{"format": 1, "auth_id": "MA"}'],
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    """What is no state is neither read nor overwritten."""
    file = tmp_path / "state.json"
    file.write_text(text)
    with pytest.raises(ValueError, match="no state"):
        Sandbox(state_file=file)
    assert file.read_text() == text


@pytest.mark.parametrize("credentials", [{"auth_id": "MA000000000000000000"}, {"auth_token": "t" * 40}])
def test_other_credentials_are_refused(tmp_path: Path, credentials: dict[str, str]) -> None:
    """Credentials in the file and in the call must agree."""
    file = tmp_path / "state.json"
    with Sandbox(state_file=file):
        pass
    with pytest.raises(ValueError, match="credentials"):
        Sandbox(auth_id=credentials.get("auth_id"), auth_token=credentials.get("auth_token"), state_file=file)
