"""The doctor command: what is installed, and whether known numbers still come out."""

from __future__ import annotations

import typer

from gandiff.experiments.cli.output import Json, Quiet, echo_json, echo_table, examples, one_line

app = typer.Typer()


@app.command(epilog=examples("gandiff doctor", "gandiff doctor --json"))
def doctor(quiet: Quiet = False, as_json: Json = False) -> None:
    """Show versions, devices and weights, and compute known numbers again.

    Something missing is not a failure. A number that differs from its record is: a library has
    changed a value, and the exit code is 1.
    """
    from gandiff.experiments.doctor.checks import run_checks

    checks = run_checks()
    wrong = [check for check in checks if check.wrong]
    if as_json:
        echo_json(checks)
    else:
        words = {True: "ok", False: "missing", None: "-"}
        shown = [check for check in checks if not quiet or check.ok is False]
        echo_table(
            (),
            [
                (
                    "WRONG" if check.wrong else "outdated" if check.outdated else words[check.ok],
                    check.name,
                    one_line(check.detail),
                )
                for check in shown
            ],
        )
    if wrong:
        names = ", ".join(check.name for check in wrong)
        typer.echo(
            f"error: {len(wrong)} golden values are not as recorded ({names}): a library that "
            "gandiff uses has changed; install the versions that pyproject.toml names",
            err=True,
        )
        raise typer.Exit(1)
