"""The one command, ``covidseg``. Every module in this folder is one command and has ``register(app)``;
one that begins with _ is shared by some.

A command module imports typer and the standard library at its top and everything else inside its
functions, so that ``covidseg --help`` answers at once. Its docstring ends in an example; a line with
a lone backslash-b above it keeps typer from re-wrapping the lines.
"""

import os
import sys
from errno import EACCES, EDQUOT, EFBIG, EIO, ENAMETOOLONG, ENOSPC, EPERM, EROFS
from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated

import typer

from covidseg import __version__
from covidseg.errors import UserError
from covidseg.text import say

OF_THE_DISK = (EACCES, EDQUOT, EFBIG, EIO, ENOSPC, EPERM, EROFS)

app = typer.Typer(
    name="covidseg",
    help="COVID-19 CT segmentation: four papers rebuilt, taught, and checked number by number.",
    epilog="Example: covidseg doctor",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain text: the examples stay copyable, and help needs no rich
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"covidseg {__version__}")
        raise typer.Exit()


_Version = Annotated[bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print it.")]


@app.callback()
def _options(version: _Version = False) -> None:
    pass


for _module in sorted(iter_modules(__path__), key=lambda module: module.name):
    if not _module.name.startswith("_"):
        import_module(f"covidseg.cli.{_module.name}").register(app)


def main(args: list[str] | None = None) -> int:
    """Run one command line; return the exit status. What the user can mend is one line on stderr, never a traceback."""
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal's encoding lacks must not end the command
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = app(args=args, prog_name="covidseg", standalone_mode=False)
        sys.stdout.flush()
    except UserError as error:
        return _complain(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted.", 130)
    except BrokenPipeError:  # `covidseg models | head`: the reader left, nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at exit
        return 141
    except OSError as error:
        if error.errno == ENAMETOOLONG:
            return _complain(f"{str(error.filename)[:60]}... is a longer name than this disk can hold.", 1)
        if error.errno not in OF_THE_DISK:
            raise
        return _complain(f"{error.filename or 'the disk'}: {error.strerror}.", 1)
    except MemoryError:
        return _complain("this takes more memory than the machine has: give less, or a smaller input.", 1)
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's own errors about the command line have it
            raise
        return _complain(_about_usage(error), error.exit_code)
    return status if isinstance(status, int) else 0


def _complain(message: str, status: int) -> int:
    say(f"covidseg: {message}", error=True)
    return status


def _about_usage(error) -> str:
    """A usage error in one line, with the way out."""
    message = " ".join(error.format_message().split())
    ctx = getattr(error, "ctx", None)
    return f"{message} See `{ctx.command_path} --help`." if ctx else message
