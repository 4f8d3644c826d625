"""The commands of `zkp2p-consumer`. Each reads the settings, opens what it needs, and leaves the work to its room.

What a command needs is imported inside it: `--help` and `config` load neither Kafka nor ClickHouse nor Arrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from consumer import __version__, console, program
from consumer.program import PROGRAM
from consumer.settings import Settings, load


@dataclass(frozen=True, slots=True)
class Options:
    """The options that every command has."""

    config: Path | None
    debug: bool


def _examples(*lines: str) -> str:
    """An epilog that click leaves as it is."""
    return "\b\nExamples:\n" + "\n".join(f"  {PROGRAM} {line}" for line in lines)


def _typer(help_text: str, epilog: str | None = None) -> typer.Typer:
    return typer.Typer(
        help=help_text,
        epilog=epilog,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )


app = _typer(
    "ZKP2P payment events from Kafka into ClickHouse, exactly once.",
    epilog="\b\nSettings come from the environment (ZKP2P_...) and from --config FILE; `config` shows them."
    "\n--config and --debug may also follow the command.",
)
dlq = _typer("Look into the dead letters, send some back to the topic.")
app.add_typer(dlq, name="dlq")


def _version(asked: bool) -> None:
    if asked:
        console.say(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings as TOML; the environment wins.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and the libraries' logs.")] = False,
    _show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version and exit.")
    ] = False,
) -> None:
    context.obj = Options(config, debug)


@app.command(epilog=_examples("run", "run --config /etc/zkp2p.toml"))
def run(context: typer.Context) -> None:
    """Consume until SIGTERM or SIGINT, then stop cleanly."""
    settings = _settings(context)
    settings.require_kafka()
    _log(settings, settings.log.level)
    from consumer import service

    raise typer.Exit(service.run(settings))


@app.command(epilog=_examples("demo", "demo --seconds 20 --rate 5000"))
def demo(
    context: typer.Context,
    seconds: Annotated[float | None, typer.Option(min=1, max=86_400, help="End after so long; else on Ctrl-C.")] = None,
    rate: Annotated[float, typer.Option(min=1, max=100_000, help="Events a second.")] = 2000,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="Port of metrics; HTTP__PORT where that is set, else a free one."),
    ] = None,
) -> None:
    """Run it all in one process, on made-up traffic."""
    http = _settings(context).http  # a wrong one is told here too, although the demo brings its own, but for the port
    if port is None:
        port = http.port if "port" in http.model_fields_set else 0
    from consumer import demo as room

    raise typer.Exit(room.run(seconds, rate, port))


@app.command(epilog=_examples("migrate --plan", "migrate"))
def migrate(
    context: typer.Context,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would run, change nothing.")] = False,
) -> None:
    """Create the tables or bring them up to date."""
    settings = _operator_settings(context)
    from consumer.operate.migrations import migrate as apply
    from consumer.operate.opened import opened

    with opened(settings.clickhouse, before_database=True) as client:
        done = apply(client, settings.clickhouse.database, settings.clickhouse.cluster, plan=plan)
    for migration in done:
        console.say(f"-- {migration.name}: {migration.why}" if plan else f"applied {migration.name}")
        if plan and migration.statement:
            console.say(f"{migration.statement};\n")
    if not done:
        console.say(f"nothing to do: {settings.clickhouse.database} is up to date")


@app.command(epilog=_examples("check", "check --sample 10000"))
def check(
    context: typer.Context,
    sample: Annotated[int, typer.Option(min=0, max=10_000_000, help="Judge the last N records of the topic too.")] = 0,
) -> None:
    """See whether `run` would find all it needs; exit 1 if not."""
    settings = _operator_settings(context)
    settings.require_kafka()
    from consumer.operate import check as room

    raise typer.Exit(room.run(settings, sample=sample))


@app.command(epilog=_examples("audit", "audit --days 7", "audit --repair"))
def audit(
    context: typer.Context,
    days: Annotated[int, typer.Option(min=1, max=90, help="How many days back.")] = 90,
    repair: Annotated[bool, typer.Option("--repair", help="Rebuild the summary of days that drifted.")] = False,
) -> None:
    """Prove that nothing was lost or doubled; exit 1 on any finding."""
    settings = _operator_settings(context)
    from consumer.operate.audited import run as audit_all

    raise typer.Exit(audit_all(settings, days=days, repair=repair))


Question = Literal["attempts", "methods", "outcomes", "dashboard"]


@app.command(
    epilog=_examples("report", "report outcomes --days 30", "report dashboard --format html --output zkp2p.html")
)
def report(
    context: typer.Context,
    question: Annotated[Question | None, typer.Argument(help="Which question; all of them when left out.")] = None,
    days: Annotated[int | None, typer.Option(min=1, max=90, help="How many days back.")] = None,
    output_format: Annotated[Literal["table", "json", "csv", "html"], typer.Option("--format", help="Form.")] = "table",
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write there instead of to stdout.")] = None,
) -> None:
    """Answer: how many tries, by what method, how they ended."""
    settings = _operator_settings(context)
    from consumer.operate import report as room
    from consumer.operate.opened import opened

    with opened(settings.clickhouse) as client:
        room.run(client, settings.clickhouse.database, question, days=days, format=output_format, output=output)


Form = Annotated[Literal["table", "json"], typer.Option("--format", help="Form of the answer.")]
Code = Annotated[list[str] | None, typer.Option(metavar="CODE", help="Only this code; may be repeated.")]
Since = Annotated[str | None, typer.Option(metavar="WHEN", help="Not before: 2026-11-23T17:00:00Z, or an age: 90m.")]
Until = Annotated[str | None, typer.Option(metavar="WHEN", help="Before this time.")]
Partition = Annotated[int | None, typer.Option(min=0, help="Only of this partition of the dead-letter topic.")]


@dlq.command("list", epilog=_examples("dlq list", "dlq list --code not_json --since 2h --format json"))
def dlq_list(
    context: typer.Context,
    *,
    code: Code = None,
    since: Since = None,
    until: Until = None,
    partition: Partition = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many.")] = 20,
    output_format: Form = "table",
) -> None:
    """List dead letters, newest first."""
    settings = _operator_settings(context)
    from consumer.operate import dlq as room
    from consumer.operate.letters import Filter

    room.show_list(settings, Filter.of(code, since, until, partition), limit, output_format)


@dlq.command("show", epilog=_examples("dlq show 0/17", "dlq show 0/17 --format json"))
def dlq_show(
    context: typer.Context,
    place: Annotated[str, typer.Argument(metavar="PARTITION/OFFSET", help="Where the dead letter is.")],
    output_format: Form = "table",
) -> None:
    """Show one dead letter whole: headers, key and value."""
    settings = _operator_settings(context)
    from consumer.operate import dlq as room
    from consumer.operate.letters import place as parsed

    room.show_one(settings, parsed(place), output_format)


@dlq.command("replay", epilog=_examples("dlq replay 0/17 0/18", "dlq replay --code not_in_enum --since 2d --dry-run"))
def dlq_replay(
    context: typer.Context,
    places: Annotated[list[str] | None, typer.Argument(metavar="PARTITION/OFFSET", help="Which ones.")] = None,
    *,
    code: Code = None,
    since: Since = None,
    until: Until = None,
    partition: Partition = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter, where nothing chooses.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, send nothing.")] = False,
    output_format: Form = "table",
) -> None:
    """Send chosen dead letters back to the topic.

    Each keeps its key, its bytes and its original time."""
    settings = _operator_settings(context)
    from consumer.operate import replay as room
    from consumer.operate.letters import Filter, place

    chosen = room.Choice.of(
        [place(text) for text in places or []], Filter.of(code, since, until, partition), everything
    )
    room.run(settings, chosen, dry_run=dry_run, output_format=output_format)


@app.command(epilog=_examples("config", "config --config /etc/zkp2p.toml --format json"))
def config(context: typer.Context, output_format: Form = "table") -> None:
    """Show the effective settings and where each came from."""
    from consumer.settings.show import show

    show(_settings(context), output_format)


def _settings(context: typer.Context) -> Settings:
    return load(context.obj.config)


def _operator_settings(context: typer.Context) -> Settings:
    """For the commands people type: their libraries' logs would only hide the one line that counts."""
    settings = _settings(context)
    _log(settings, "debug" if context.obj.debug else None)
    return settings


def _log(settings: Settings, level: str | None) -> None:
    from consumer.adapters import logs

    logs.configure(level or "error", settings.log.format, secrets=settings.secrets())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    return program.run(app, arguments)
