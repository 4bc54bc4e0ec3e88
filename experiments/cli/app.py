"""The commands put together, and what becomes of an error: one line and an exit code."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand

from gandiff.common.errors import RequestError
from gandiff.experiments.cli import (
    compare,
    doctor,
    draw,
    explore_units,
    run,
    score,
    start,
    studio,
    train,
    validate,
)
from gandiff.experiments.cli import list as list_command
from gandiff.experiments.cli.invocation import command_to_continue, invocation
from gandiff.experiments.cli.output import examples, one_line

DONE, FAILED, WRONG_REQUEST, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="gandiff",
    help="Compare GANs with diffusion models: the same prompts, seeds and measures for all.",
    epilog=examples(
        'gandiff draw "a red star"',
        "gandiff run scenes",
        "gandiff init --folder my-images --prompts prompts.txt",
        "gandiff score my-images --reference photos --metrics fid,kid",
        "gandiff train gan --minutes 30",
        "gandiff COMMAND --help",
    ),
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _OneOfEach(TyperCommand):
    """A command that refuses an option given twice, of which the last would win without a word."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(list(args))
        for option, times in Counter(order).items():
            is_plain_flag = getattr(option, "is_flag", False) and not option.secondary_opts
            if (
                times > 1
                and option.opts[0].startswith("-")
                and not (option.multiple or is_plain_flag)
            ):
                raise RequestError(f"{max(option.opts, key=len)} was given twice; give it once")
        return super().parse_args(ctx, args)


for module in (
    *(draw, studio, start, run, score, compare, validate, list_command, doctor, train),
    explore_units,
):
    for command in module.app.registered_commands:
        command.cls = _OneOfEach
    app.add_typer(module.app)  # without a name of its own, its commands are added one by one


class Outcome(NamedTuple):
    """What the caller of the program sees: an exit code and one line."""

    code: int
    message: str


def _print_version(wanted: bool) -> bool:
    if wanted:
        from gandiff import __version__

        typer.echo(f"gandiff {__version__}")
        raise typer.Exit()
    return wanted


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    del version  # its callback has printed it by now


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name) and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    _prepare_streams()
    with invocation(arguments):
        try:
            code = app(args=arguments, prog_name="gandiff", standalone_mode=False)
            sys.stdout.flush()  # now, so that what goes wrong is reported
            # A command that ends early gives its code, one that runs to its end gives None.
            if code != INTERRUPTED:
                return code if isinstance(code, int) else DONE
            outcome = _interrupted()
        except KeyboardInterrupt:
            outcome = _interrupted()
        except Exception as error:
            if os.environ.get("GANDIFF_DEBUG"):
                raise
            if _drop_output() and isinstance(error, BrokenPipeError):
                return FAILED  # the reader has gone (``| head -1``), and asks for no reason
            outcome = _explain(error)
    print(outcome.message, file=sys.stderr)
    return outcome.code


def _prepare_streams() -> None:
    """Replace letters that the terminal or file cannot show, and a stream that is closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper) and stream.errors in (
            "strict",
            "surrogateescape",
        ):
            stream.reconfigure(errors="replace")


def _drop_output() -> bool:
    """Whether what was printed can no longer be written; Python would try again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _interrupted() -> Outcome:
    return Outcome(INTERRUPTED, f"interrupted; continue with: {command_to_continue()}")


def _explain(error: Exception) -> Outcome:
    # Imported here: a command line that succeeds needs none of these.
    from gandiff.common.errors import (
        GeneratorError,
        MetricError,
        environment_failure,
        with_command,
    )

    if isinstance(error, typer.TyperException):
        return _explain_usage(error)
    if isinstance(error, (RequestError, GeneratorError, MetricError)):
        return Outcome(WRONG_REQUEST, f"error: {one_line(error)}")
    if isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError)):
        where = f": {one_line(error.filename)}" if error.filename else ""
        return Outcome(WRONG_REQUEST, f"error: {error.strerror or one_line(error)}{where}")
    failure = environment_failure(error)
    if failure is not None:
        said = with_command(failure, command_to_continue())
        return Outcome(FAILED, f"error: {one_line(said)}")
    if isinstance(error, OSError):
        return Outcome(FAILED, f"error: {one_line(error)}")
    return Outcome(
        FAILED,
        f"error: {type(error).__name__}: {one_line(error)} (a mistake in gandiff or in a plugin; "
        "set GANDIFF_DEBUG=1 to see where)",
    )


def _explain_usage(error: typer.TyperException) -> Outcome:
    message = one_line(error.format_message()).rstrip(".").replace("Value error, ", "")
    # What pydantic says of numbers, in the words of all other settings.
    message = re.sub(r"Input should be a valid integer\b.*", "must be a whole number", message)
    message = re.sub(r"Input should be a valid number\b.*", "must be a number", message)
    message = message[:1].lower() + message[1:]
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "gandiff"
    joint = "" if message.endswith("?") else ";"
    return Outcome(WRONG_REQUEST, f"error: {message}{joint} see {command} --help")
