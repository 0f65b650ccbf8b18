"""The configuration changes under load."""

from collections.abc import Iterator

import openai
import pytest
from prompts import CAPITAL, fact, long_answer
from streaming import streams

from harness import services
from harness.fleet import TINY, Fleet, Gearshift
from harness.waiting import until

COUNT = 32
RELOADS = "gearshift_config_reloads_total"
SEEN_WITHIN_S = 60.0


@pytest.fixture
def restored(gearshift: Gearshift) -> Iterator[str]:
    """The configuration as it was, put back afterwards."""
    original = gearshift.config.read_text()
    yield original
    gearshift.config.write_text(original)


def replace(gearshift: Gearshift, text: str, result: str) -> None:
    """Writes the configuration as editors do, by a rename, and waits for the counted result."""
    before = gearshift.metric(RELOADS, result=result)
    fresh = gearshift.config.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(gearshift.config)
    until(
        f"a reload counted as {result}",
        lambda: gearshift.metric(RELOADS, result=result) > before,
        SEEN_WITHIN_S,
    )


def answers(client: openai.OpenAI, model: str) -> bool:
    try:
        client.chat.completions.create(model=model, messages=CAPITAL, max_tokens=1)
    except openai.NotFoundError:
        return False
    return True


def test_reloads_lose_no_stream(
    fleet: Fleet, gearshift: Gearshift, tiny: openai.OpenAI, restored: str
) -> None:
    aliases = f"aliases: [{services.TINY_ALIAS}"
    assert aliases in restored

    def reload_five_times() -> None:
        until("most streams run", lambda: fleet.running(TINY) > COUNT / 2, 120)
        for number in range(5):
            replace(gearshift, restored.replace(aliases, f"{aliases}, renamed-{number}"), "applied")
            assert number or fleet.running(TINY) > 0, "the streams were over before the first reload"

    request = {"model": TINY, **long_answer(1500)}
    results = streams(gearshift.url, request, [fact(n) for n in range(COUNT)], meanwhile=reload_five_times)
    assert [result.error for result in results] == [None] * COUNT
    assert [result.finish for result in results] == ["length"] * COUNT
    assert answers(tiny, "renamed-4")
    assert not answers(tiny, "renamed-3")


def test_a_bad_file_changes_nothing(gearshift: Gearshift, tiny: openai.OpenAI, restored: str) -> None:
    replace(gearshift, restored + "\nno_such_key: 1\n", "rejected")
    assert answers(tiny, services.TINY_ALIAS)
    replace(gearshift, restored + "\n# Good again.\n", "applied")
    assert answers(tiny, services.TINY_ALIAS)
