"""How the command line fails: one sentence on stderr, and an exit code that tells the kind.

2: the input is wrong and nothing was done. 1: something failed on the way. 130: interrupted.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import click

__all__ = ["BadInput", "Commands", "OneOf", "bad_input", "show_traceback"]


class BadInput(click.ClickException):
    """What the user gave cannot be used."""

    exit_code = 2


@contextlib.contextmanager
def bad_input() -> Iterator[None]:
    """Within the block, an error about a value or a file is the input's fault."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise BadInput(_text(error)) from error


def show_traceback(error: BaseException) -> None:
    """Print where an error comes from, when debugging is on."""
    if os.environ.get("LAMINA_DEBUG", "0") not in ("", "0"):
        import traceback

        traceback.print_exception(error)


class OneOf(click.Choice[str]):
    """A choice that offers the nearest name."""

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        if value not in self.choices:
            known = ", ".join(self.choices)
            near = difflib.get_close_matches(str(value), self.choices, n=1, cutoff=0.4)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            self.fail(f"'{value}' is unknown{hint} (known: {known})", param, ctx)
        return super().convert(value, param, ctx)


class Commands(click.Group):
    """A group of commands whose every failure ends in one sentence."""

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run, and exit with the code of the outcome."""
        options["standalone_mode"] = False
        self._context: click.Context | None = None
        try:
            code = super().main(*args, **options)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            code = error.exit_code
        except click.ClickException as error:
            code = self._fail(error, error.format_message(), error.exit_code)
        except (click.Abort, KeyboardInterrupt) as error:
            code = self._fail(error, "interrupted", 130)
        except Exception as error:
            code = self._fail(error, _text(error), 1)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Remember the context: few errors carry theirs."""
        self._context = ctx
        return super().invoke(ctx)

    def _fail(self, error: BaseException, message: str, code: int) -> int:
        show_traceback(error)
        context = self._context
        command = context.invoked_subcommand if context is not None else None
        where = f"lamina {command}: " if command in self.commands else "lamina: "
        click.echo(where + " ".join(message.split()), err=True)
        return code

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or offer the nearest."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.commands, n=1, cutoff=0.4)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            known = ", ".join(self.list_commands(ctx))
            ctx.fail(f"unknown command '{args[0]}'{hint} (known: {known})")
        return super().resolve_command(ctx, args)


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        return f"not enough memory ({error})" if str(error) else "not enough memory"
    told = isinstance(error, (ValueError, OSError, RuntimeError, ArithmeticError)) and str(error)
    return str(error) if told else f"{type(error).__name__}: {error}"
