"""What `train` and `data check` ask about your own scans, and the words in which they answer."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covidseg.errors import UserError

if TYPE_CHECKING:
    from covidseg.data.own_files import OwnData

__all__ = ["Fill", "Images", "Intensity", "Masks", "Patients", "Resample", "Series", "own_data", "print_look"]

Images = Annotated[Path | None, typer.Option(help="your scans: a file, or a folder of DICOM or pictures, for each")]
Masks = Annotated[Path | None, typer.Option(help="their masks, called like them, or NAME_mask: 0 none, 1 infection")]
Patients = Annotated[Path | None, typer.Option(help="CSV with columns scan, patient; without it each scan is a person")]
Intensity = Annotated[str | None, typer.Option(help="what the values of your scans are: HU, grey, HU+1024")]
Series = Annotated[str | None, typer.Option(help="of DICOM folders with several: part of the number, name or UID")]
Fill = Annotated[float | None, typer.Option(help="value for voxels that are NaN or infinite, e.g. -1024")]
Resample = Annotated[bool, typer.Option("--resample-mask", help="nearest voxels of masks on another grid")]


def own_data(
    images: Path | None, masks: Path | None, patients: Path | None, all_slices: bool = False, **how
) -> "OwnData | None":
    """The options put together; None where neither folder was named. UserError for one without the other."""
    from covidseg.data.own_files import OwnData

    if images is None and masks is None:
        about_own = {"patients": patients, "all_slices": all_slices, **how}
        given = [f"--{name.replace('_', '-')}" for name, value in about_own.items() if value not in (None, False)]
        if given:
            raise UserError(f"{given[0]} is about your own scans: name them with --images DIR --masks DIR.")
        return None
    if images is None or masks is None:
        raise UserError("Your own scans need both --images DIR and --masks DIR.")
    return OwnData(images, masks, patients, **how)


def print_look(own: "OwnData", echo: Callable[[str], None]) -> None:
    """Print a line for every scan and for every trouble. UserError at the end if one of these is fatal."""
    from covidseg.data.own import look_over, table_lines
    from covidseg.text import one_line

    look = look_over(own)
    for line in table_lines(look.facts):
        echo(one_line(line))
    for trouble in look.troubles:
        echo(one_line(f"{'PROBLEM' if trouble.fatal else 'note   '}  {trouble.file} {trouble.says}"))
    people = len({look.volumes[name].patient for name in look.infected})
    slices = sum(map(len, look.infected.values()))
    echo(f"{len(look.infected)} scans of {people} patients can be used, with {slices} infected slices.")
    if look.fatal:
        files = len({trouble.file for trouble in look.fatal})
        raise UserError(f"{files} file(s) cannot be used as they are: see the lines with PROBLEM.")
