"""Nobody is written to unasked: not an administrator who never said yes, and not anybody again and again."""

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
