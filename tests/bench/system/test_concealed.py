"""What a person typed that may hold a secret is not printed, whoever quotes it and however."""

from __future__ import annotations

import io

import pytest

from clipbench.system import concealed
from clipbench.system.streams import Screen

PASSWORD, SIGNATURE, TOKEN = "pw7d10ab3c%40x", "sg44e1b0a977c2", "tk9081f3a2bc7de5"
ADDRESS = f"https://someone:{PASSWORD}@host/{{0..1}}.tar?sig={SIGNATURE}"
COMMAND = f"pipe:curl  -H 'Authorization: Bearer {TOKEN}' https://host/{{0..1}}.tar"


@pytest.fixture(autouse=True)
def noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Note what was typed, for this test alone."""
    monkeypatch.setattr(concealed, "_shown", {})
    concealed.note([f"shards:path={ADDRESS}", COMMAND])


@pytest.mark.parametrize(
    "text",
    [
        f"There is no {ADDRESS}; check the path.",
        f"Got {f'shards:path={ADDRESS}'!r}.",
        f"https://someone:{PASSWORD}@host/1.tar?sig={SIGNATURE} is no tar",
        "login someone:pw7d10ab3c@x failed",
        f"the server does not take {SIGNATURE}",
        COMMAND,
        " ".join(COMMAND.split()),
        repr(COMMAND),
        f"curl: bad header 'Bearer {TOKEN}'",
        COMMAND.removeprefix("pipe:").replace("{0..1}", "1"),
    ],
)
def test_it_is_not_shown_in_any_form_in_which_messages_quote_it(text: str) -> None:
    """As typed, as Python quotes it, a part of it, a shard of a pattern, unquoted."""
    out = io.StringIO()
    Screen(out).write(text)
    for secret in (PASSWORD, "pw7d10ab3c@x", SIGNATURE, TOKEN):
        assert secret not in out.getvalue()


def test_what_holds_no_secret_is_shown_as_it_is() -> None:
    """Paths, plain addresses, and words of a command that are no token."""
    concealed.note(["/data/crawl/00000.tar", "https://host/plain.tar", "--attack=badnets"])
    text = "/data/crawl/00000.tar https://host/plain.tar --attack=badnets curl Authorization"
    assert concealed.conceal(text) == text
