"""Nobody is written to unasked: not an administrator who never said yes, and not anybody again and again."""

import re
from typing import Any

from tests.stories.gateway import Application, Story, plain_text, until

JANET, JOHN = "janet@example.net", "john@corp.com"
IT, OPERATOR = "it@crm-company.com", "postmaster@acme-admin.com"


async def steps_of(crm: Application, sent: dict[str, Any]) -> list[tuple[str, str]]:
    [delivery] = (await crm.message(sent))["deliveries"]
    return [(step["kind"], step["state"]) for step in (delivery["case"] or {"steps": []})["steps"]]


async def test_an_administrator_hears_of_failures_once_he_has_said_yes_and_the_operator_until_then(
    story: Story,
) -> None:
    company, operators = story.world.mx("crm-company.com"), story.world.mx("acme-admin.com")
    crm = await story.application(administrator=IT)
    await crm.policy("thin", {"kind": "administrator"})
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").refuses(JOHN)

    sent = await crm.send(JANET, JOHN, failure_policy="thin")
    await crm.hears("unheard", sent)
    failed = await crm.hears("action_failed", sent)
    assert failed["data"]["why"].startswith(f"{IT} has not been proved")
    assert await steps_of(crm, sent) == [("administrator", "unheard")]
    [told] = await operators.wait_for(OPERATOR)
    assert "administrator-unproved crm" in plain_text(told)
    [asked] = company.inbox(IT)
    assert "/prove/" in plain_text(asked), "the only e-mail that he has had"

    await story.proves(IT)
    sent = await crm.send(JANET, JOHN, failure_policy="thin")
    [letter] = await company.wait_for(IT)
    assert "because the failure policy “thin” names you" in " ".join(plain_text(letter).split())

    async def heard() -> bool:
        return await steps_of(crm, sent) == [("administrator", "heard")]

    await until(heard)


async def test_failures_of_one_person_go_into_one_letter_and_all_of_them_end_with_it(story: Story) -> None:
    """Twelve addresses of a list are dead. She hears of the first at once, and of the others with one e-mail more."""
    crm, home = await story.application(), story.world.mx("example.net")
    await crm.person("Janet Roe", JANET)
    people = [f"j{number}@corp.com" for number in range(12)]
    site = story.world.mx("corp.com")
    for person in people:
        site.refuses(person)
    first = await crm.send(JANET, people[0])
    [letter] = await home.wait_for(JANET)
    assert people[0] in plain_text(letter)
    sent = await crm.send(JANET, *people[1:])
    await crm.becomes(sent, *["bounced"] * 11)

    async def all_heard() -> bool:
        cases = [one["case"] for one in (await crm.message(sent))["deliveries"]]
        return all(case and case["state"] == "notified" for case in cases)

    story.advance(minutes=5)
    await until(all_heard)
    [_, digest] = home.inbox(JANET)
    text = plain_text(digest)
    for person in people[1:]:
        assert f"to {person}" in " ".join(text.split())
    links = set(re.findall(r"/correct/\S+", text))
    assert len(links) == 11
    assert (await story.http.get(min(links))).status_code == 200
    assert "rerouted" in await crm.types_of(first)
    assert (await crm.types_of(sent)).count("rerouted") == 11


async def test_a_letter_about_several_that_comes_back_moves_all_of_them_on(story: Story) -> None:
    crm, home = await story.application(), story.world.mx("example.net")
    await crm.policy("thin", {"kind": "letter"}, {"kind": "log", "only_if_unheard": True})
    await crm.person("Janet Roe", JANET)
    people = [f"j{number}@corp.com" for number in range(3)]
    for person in people:
        story.world.mx("corp.com").refuses(person)
    sent = await crm.send(JANET, *people, failure_policy="thin")
    await home.wait_for(JANET)
    home.refuses(JANET)
    story.advance(minutes=5)

    async def moved_on() -> bool:
        cases = [one["case"] for one in (await crm.message(sent))["deliveries"]]
        ends = [[step["state"] for step in case["steps"]] for case in cases if case]
        return sorted(ends) == [["heard", "waiting"], ["unheard", "done"], ["unheard", "done"]]

    await until(moved_on)
