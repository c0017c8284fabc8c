"""docs/settings.md and docs/cli.md, in Markdown, from the settings and from the commands themselves."""

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from typer.main import get_command

from homing.cli.client import PANEL
from homing.cli.exits import ExitCode
from homing.config import Settings

_SETTINGS = """# Settings

A TOML file (`--config FILE`, or `HOMING_CONFIG`, or `homing.toml` in the working directory), then the environment over
it: `HOMING_` and the name in capitals. A list in the environment is JSON. One setting is required, `operator_domain`.
`homing config check` shows what is in force and the DNS records that follow from it.

```toml
operator_domain = "example.com"
operator_name = "Example CRM"
data_dir = "/var/lib/homing"
public_url = "https://mail.example.com"
administrator = "postmaster@example.com"
```

| Setting | Value | Default | Meaning |
|---|---|---|---|
"""

_LAB = """
## For the lab only

They let mail go where mail on the Internet must never go. `homing serve` warns loudly about them.

| Setting | Value | Default | Meaning |
|---|---|---|---|
"""

_COMMANDS = """# The command line

On a terminal a command prints tables; into a file or a pipe it prints one JSON document (`events follow`: one object a
line). Errors go to standard error, as a sentence or, where that is no terminal, as one JSON object.

Commands speak to the gateway over its HTTP API. With `--url` (`HOMING_URL`) and `--key` (`HOMING_KEY`), that gateway.
Without a URL the settings say where: the server at `http_host:http_port`, with the administrator's key in `data_dir`;
where none answers, the command opens the database itself, so that organizations and keys can be made before the first
start. `--org` (`HOMING_ORG`) names the organization that an administrator works for; a key of an organization's own
needs none.

"""

_CODES = {
    ExitCode.OTHER: "`doctor`: something is broken; anything else: our fault, most likely",
    ExitCode.AUTH: "no key, a wrong one, or one that may not do this",
    ExitCode.NOT_DELIVERED: "`send --wait`: not every delivery was delivered",
    ExitCode.INPUT: "options, settings or values that are not valid",
    ExitCode.NOT_FOUND: "there is no such thing",
    ExitCode.NETWORK: "the gateway cannot be reached",
    ExitCode.RATE: "too much for now; the error says when to come back",
}


def settings_page() -> str:
    """The page, in Markdown."""
    fields = Settings.model_fields
    ordinary = [_setting(name, field) for name, field in fields.items() if not name.startswith("lab_")]
    lab = [_setting(name, field) for name, field in fields.items() if name.startswith("lab_")]
    return _SETTINGS + "".join(ordinary) + _LAB + "".join(lab)


def _setting(name: str, field: FieldInfo) -> str:
    description = (field.description or "").removeprefix("Lab only: ")
    meaning = _cell(description[:1].upper() + description[1:])
    return f"| `{name}` | {_value(field)} | {_default(field)} | {meaning} |\n"


def _value(field: FieldInfo) -> str:
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{kind}`" for kind in kinds)
    if get_origin(field.annotation) is list:
        return "list"
    names = {"str": "text", "int": "number", "bool": "true, false", "Path": "path", "SecretStr": "secret"}
    bounds = [
        f"{sign} {getattr(one, attribute)}"
        for one in field.metadata
        for attribute, sign in _BOUNDS
        if hasattr(one, attribute)
    ]
    return " ".join([names[kinds[0].__name__], ", ".join(bounds)]).strip()


_BOUNDS = (("ge", "≥"), ("le", "≤"))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default: Any = field.get_default(call_default_factory=True)
    if isinstance(default, SecretStr) or default in (None, "", []):
        return ""
    return f"`{_cell(str(default).lower() if isinstance(default, bool) else str(default))}`"


def commands_page() -> str:
    """The page, in Markdown."""
    from homing.cli import app

    codes = "".join(f"| {int(code)} | {meaning} |\n" for code, meaning in _CODES.items())
    table = f"| Exit code | |\n|---|---|\n| 0 | done |\n{codes}| 130 | Ctrl-C |\n\n"
    return _COMMANDS + table + "\n".join(_command("homing", get_command(app)))


def _command(name: str, command: Any) -> Iterator[str]:
    below = getattr(command, "commands", {})
    for word, one in below.items():
        yield from _command(f"{name} {word}", one)
    if below:
        return
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and one.rich_help_panel != PANEL]
    usage = " ".join([name, *(_argument(one) for one in arguments)])
    yield f"## {usage}\n\n{_text(command.help)}\n"
    rows = [_parameter(one) for one in (*arguments, *options) if one.name != "help"]
    if rows:
        yield "| | |\n|---|---|\n" + "".join(rows)


def _argument(one: Any) -> str:
    word = one.name.upper()
    return word if one.required else f"[{word}]"


def _parameter(one: Any) -> str:
    shown = one.name.upper() if one.param_type_name == "argument" else ", ".join((*one.opts, *one.secondary_opts))
    facts = [_text(one.help).rstrip(".") + "." if one.help else ""]
    if one.required and one.param_type_name == "option":
        facts.append("Required.")
    if one.envvar:
        facts.append(f"`{one.envvar}`.")
    if one.default not in (None, "", False) and not isinstance(one.default, list | tuple):
        facts.append(f"Default: {one.default}.")
    return f"| `{shown}` | {_cell(' '.join(fact for fact in facts if fact))} |\n"


def _text(help_text: str | None) -> str:
    paragraphs = (help_text or "").strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
