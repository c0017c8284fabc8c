"""The scenes of the demo. Each sends as an application does, watches the world, and ends when it came true.

The first line of a scene's docstring is its title, the rest its story; what it returns is what came of it. Every claim
in them is one that the scene has checked.
"""

from collections.abc import Awaitable, Callable

from homing.cli.demo_world import PATIENCE, Application, DemoWorld, Json, expect, link_in, text_of, until
from homing.lab.returned_mail import Failure
from homing.loop.watch import LoopState

JANET = "janet@acme-mail.com"
JOE = "joe@bloggs-plumbing.com"
CRM, LEDGER = "acme-crm", "ledgerline"
JANET_ROE, JOE_BLOGGS = ("Janet Roe", JANET), ("Joe Bloggs", JOE)


async def prologue(demo: DemoWorld) -> str:
    """Janet and Joe prove that their addresses are theirs
    Two applications use this gateway: a CRM and an accounting service. The user of each gets an e-mail with a link;
    opening the page proves nothing yet, pressing its button does.
    """
    crm = await demo.application(CRM, "Acme CRM")
    ledger = await demo.application(LEDGER, "Ledgerline Accounting")
    await crm.call(
        "PUT",
        "/v1/failure_policies/urgent",
        {"steps": [{"kind": "live"}, {"kind": "letter"}, {"kind": "sms", "only_if_unheard": True}]},
    )
    await demo.proves(crm, JANET_ROE, phone="+442079460018")
    await demo.proves(ledger, JOE_BLOGGS)
    return "both addresses are proved; until then a message in their names was refused"


async def ordinary_mail(demo: DemoWorld) -> str:
    """Twenty ordinary messages arrive
    From an address of ours, signed by us, with the person in Reply-To; each with an envelope sender of its own.
    """
    demo.world.mx("customers.org")
    crm = demo.applications[CRM]
    sent = [await crm.send(JANET_ROE, f"customer{n}@customers.org", f"Your call, number {n}") for n in range(1, 21)]
    for message in sent:
        await crm.becomes(message, "delivered")
    mails = demo.world.mx("customers.org").mails
    envelope_senders = {mail.envelope_sender for mail in mails}
    expect(len(envelope_senders) == len(mails) == 20, "each has an envelope sender of its own")
    expect(all(mail.tls for mail in mails), "all went out over TLS")
    expect(all(mail.addresses("Reply-To") == [JANET] for mail in mails), "replies go to Janet")
    expect(all(demo.signed_by_us(mail) for mail in mails), "each is signed by the domain in From")
    return f"delivered over {mails[0].tls.split()[0]}, with 20 envelope senders such as {mails[0].envelope_sender}"


async def misspelt(demo: DemoWorld) -> str:
    """Janet's misspelt address is refused, and she is told at once
    She meant John, and wrote Jonh. His server says 550 while we talk to it.
    """
    crm = demo.applications[CRM]
    demo.world.mx("corp.com").refuses("jonh@corp.com", "550 5.1.1 No such user here")
    message = await crm.send(JANET_ROE, "jonh@corp.com", "Notes of our call")
    await crm.becomes(message, "bounced")
    live = await crm.event(message, "notified")
    [letter] = await demo.world.mx("acme-mail.com").wait_for(JANET, 1, PATIENCE)
    expect("correct the address" in text_of(letter), "her e-mail has a link to correct the address")
    pressed = await demo.http.post(link_in(letter, "/correct/"), data={"recipient": "john@corp.com"})
    expect(pressed.status_code == 200, "she can correct it there")
    await demo.world.mx("corp.com").wait_for("john@corp.com", 1, PATIENCE)
    return f"a pop-up “{live['data']['title']}”, and an e-mail; by its link the message reached john@corp.com after all"


async def no_such_domain(demo: DemoWorld) -> str:
    """A domain that does not exist, with the one that was meant
    gmial.com is one letter from a well-known name.
    """
    crm = demo.applications[CRM]
    message = await crm.send(JANET_ROE, "john@gmial.com", "Our offer")
    await crm.becomes(message, "bounced")
    live = await crm.event(message, "notified")
    expect(live["data"]["suggestion"] == "john@gmail.com", "the right domain is suggested")
    return f"did you mean {live['data']['suggestion']}?"


async def late_bounce(demo: DemoWorld) -> str:
    """A message that was accepted comes back later
    The server said 250, and sends a bounce afterwards. The envelope sender tells which message it was.
    """
    crm = demo.applications[CRM]
    diagnostic = "smtp; 550 5.2.1 The account is disabled"
    failure = Failure(final_recipient="mary@latecomer.org", status="5.2.1", diagnostic_code=diagnostic)
    demo.world.mx("latecomer.org").bounces_later("mary@latecomer.org", failure, delay=0.3)
    message = await crm.send(JANET_ROE, "mary@latecomer.org", "Appointment on Friday")
    delivery = await crm.becomes(message, "bounced")
    expect(delivery["bounced"] == "late", "it is reported as a late bounce")
    await crm.event(message, "rerouted")
    letters = await demo.world.mx("acme-mail.com").wait_for(JANET, 3, PATIENCE)
    letter = next(one for one in letters if "mary@latecomer.org" in text_of(one))
    expect("has been switched off" in " ".join(text_of(letter).split()), "her e-mail says why in plain words")
    return "matched to its delivery; an e-mail tells Janet: “The mailbox of mary@latecomer.org has been switched off.”"


async def own_bounce_first(demo: DemoWorld) -> str:
    """A bounce outruns its own 250
    It arrives while we still wait for the server's answer.
    """
    crm = demo.applications[CRM]
    demo.world.mx("hasty.org").bounces_before_its_250("bob@hasty.org")
    message = await crm.send(JANET_ROE, "bob@hasty.org", "A quick question")
    await crm.becomes(message, "bounced")
    delivery = await until(lambda: _ended(crm, message), "its attempt has ended")
    expect(delivery["attempts"][0]["reply_code"] == 250, "the server's 250 came afterwards")
    return "the later 250 is kept on the attempt and changes nothing"


async def _ended(application: Application, message: Json) -> Json | None:
    delivery = await application.delivery(message)
    return delivery if delivery["attempts"][0]["ended_at"] else None


async def vacation(demo: DemoWorld) -> str:
    """Janet is on vacation, so a text message follows
    Her out-of-office program answers the e-mail, so it counts as unread. The policy's next step is a text message.
    """
    crm = demo.applications[CRM]
    demo.world.mx("acme-mail.com").is_out_of_office(JANET, "I am on vacation until Monday.")
    demo.world.mx("corp.com").refuses("ceo@corp.com")
    message = await crm.send(JANET_ROE, "ceo@corp.com", "Contract to sign", failure_policy="urgent")
    await crm.event(message, "fallback_sent")
    [text] = demo.world.sms.inbox("+442079460018")
    demo.world.mx("acme-mail.com").accepts_all()
    return f"SMS: {text.text}"


async def greylisting(demo: DemoWorld) -> str:
    """A greylisting server wants to be asked twice
    It says 450 at first. The gateway's clock is put two minutes forward.
    """
    crm = demo.applications[CRM]
    demo.world.mx("cautious.org").greylists()
    message = await crm.send(JANET_ROE, "ann@cautious.org", "Spring catalogue")
    await crm.becomes(message, "deferred")
    demo.later(minutes=2)
    delivery = await crm.becomes(message, "delivered")
    codes = [attempt["reply_code"] for attempt in delivery["attempts"]]
    expect(codes == [450, 250], "the second attempt was taken")
    return "delivered at the second attempt"


async def full_mailbox(demo: DemoWorld) -> str:
    """A mailbox is full, and stays so for five days
    Its server asks us to try again later, and we do, until the message's lifetime is over. The clock runs ahead.
    """
    crm = demo.applications[CRM]
    demo.world.mx("hoarder.org").is_full("bill@hoarder.org")
    message = await crm.send(JANET_ROE, "bill@hoarder.org", "Your photographs")
    await crm.becomes(message, "deferred")
    demo.later(hours=3)
    await until(lambda: _tried(crm, message, 2), "we try again")
    demo.later(days=5)
    await crm.becomes(message, "expired")
    await crm.event(message, "rerouted")
    return "given up after five days, and Janet is told why"


async def _tried(application: Application, message: Json, times: int) -> bool:
    return len((await application.delivery(message))["attempts"]) >= times


async def forwarder(demo: DemoWorld) -> str:
    """Somebody else's forwarding fails
    The message was delivered; behind it another server bounces for an address that Janet never wrote to. So Eve's
    address stays in use, and Janet is told in words of their own.
    """
    crm = demo.applications[CRM]
    demo.world.mx("alumni.org").forwards("eve@alumni.org", "eve@gone.org")
    message = await crm.send(JANET_ROE, "eve@alumni.org", "Class reunion")
    await crm.event(message, "forwarding_failed")
    delivery = await crm.becomes(message, "delivered")
    expect(delivery["case"]["kind"] == "forwarding_failure", "the delivery keeps its state, and a case is opened")
    await crm.event(message, "rerouted")
    return "still delivered; Janet is told that it could not be passed on from there"


async def own_domain(demo: DemoWorld) -> str:
    """A company lets nobody outside use its domain
    Joe's invoice goes to a colleague. Their server takes nothing from outside that claims to be of their own domain.
    """
    ledger = demo.applications[LEDGER]
    demo.world.mx("bloggs-plumbing.com").refuses_own_domain()
    message = await ledger.send(JOE_BLOGGS, "clerk@bloggs-plumbing.com", "Invoice 1001")
    await ledger.becomes(message, "delivered")
    forged = b"From: joe@bloggs-plumbing.com\r\nTo: clerk@bloggs-plumbing.com\r\nSubject: x\r\n\r\nx\r\n"
    refused = await demo.world.writes(JOE, "clerk@bloggs-plumbing.com", forged)
    expect(not refused.accepted, "an impersonator is refused there")
    return "the invoice is delivered, a forgery in Joe's name is refused: that defence can stay"


async def oops(demo: DemoWorld) -> str:
    """A customer answers to the address that nobody reads
    Carol ignores Reply-To. Our answer tells her where Joe is; her own mail is kept for a week, then deleted.
    """
    ledger = demo.applications[LEDGER]
    site = demo.world.mx("client.net").replies_to_from("carol@client.net", "When is it due?")
    message = await ledger.send(JOE_BLOGGS, "carol@client.net", "Invoice 1002")
    await ledger.event(message, "replied")
    [original, answer] = await site.wait_for("carol@client.net", 2, PATIENCE)
    expect(original.addresses("Reply-To") == [JOE], "replies should go to Joe")
    expect(answer.envelope_sender is None and JOE in text_of(answer), "the answer names Joe")
    expect(demo.app.settings.reply_retention_days == 7, "her mail is kept for a week")
    return f"“{str(answer.headers['Subject'])[:60]}”"


async def impostor(demo: DemoWorld) -> str:
    """Mail in the name of somebody who did not agree is refused
    The boss has not proved his address, so nothing is accepted, and nothing stored.
    """
    ledger = demo.applications[LEDGER]
    before = await ledger.call("GET", "/v1/messages")
    refusal = await ledger.refusal(("The Boss", "boss@victim.net"), "carol@client.net", "Please pay at once")
    expect(refusal == "reply-to-unproved", "it is refused for that reason")
    expect(await ledger.call("GET", "/v1/messages") == before, "nothing of it is stored")
    return f"422 {refusal}"


async def return_path(demo: DemoWorld) -> str:
    """The gateway tests whether bounces still find their way home
    It looks up its own return domain as any mail server would, and sends itself a notice about a mail that never was.
    """
    watch = demo.app.loop_watch
    expect(await watch.round_now(PATIENCE), "the notice was worked on in time")
    now_is = await watch.standing()
    expect(now_is.state == LoopState.OK and now_is.last, "the notice was received and understood")
    return "received and understood; had it not come, the first page would say that failures may be going unheard"


SCENES: tuple[Callable[[DemoWorld], Awaitable[str]], ...] = (
    prologue,
    ordinary_mail,
    misspelt,
    no_such_domain,
    late_bounce,
    own_bounce_first,
    vacation,
    greylisting,
    full_mailbox,
    forwarder,
    own_domain,
    oops,
    impostor,
    return_path,
)
