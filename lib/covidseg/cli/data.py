"""`covidseg data`: what data there are, getting them, storing them ready to train on, checking them."""

from pathlib import Path
from typing import Annotated

import typer

from covidseg.cli._own import Fill, Images, Intensity, Masks, Patients, Resample, Series, own_data, print_look
from covidseg.text import say

data = typer.Typer(
    help="List, fetch, prepare and check data sets.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Mirror = Annotated[
    Path | None,
    typer.Option("--mirror", help="Folder laid out like data/raw to take files from (or COVIDSEG_MIRROR)."),
]


def register(app: typer.Typer) -> None:
    app.add_typer(data, name="data")


@data.command(name="list")
def list_(mirror: _Mirror = None) -> None:
    """Every source of the catalogue, its licence, and whether it is on this machine.

    \b
    Example:
      covidseg data list
    """
    from covidseg.fetch.catalog import last_checked, sources
    from covidseg.fetch.sources import present

    say("phantom, phantom3d: always there, seeded, no licence to ask for\n")
    for source in sources().values():
        here = present(source, mirror)
        say(f"{source.name} ({source.kind}): {source.title}")
        say(f"  licence: {source.licence}")
        say(f"  {'by hand: ' + source.home if source.manual else 'covidseg data fetch ' + source.name}")
        say(f"  here: {here or 'no'}")
    say(f"\nAddresses last checked {last_checked()}.")


@data.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A name that `covidseg data list` prints.")],
    mirror: _Mirror = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the mirror's files instead of using them there.")] = False,
) -> None:
    """Download NAME (or take it from a mirror), verify it, unpack it. An interrupted download goes on.

    \b
    Example:
      covidseg data fetch p9
      covidseg data fetch p9 --mirror /media/classroom/covid
    """
    from covidseg.fetch.sources import fetch as get

    say(f"Ready in {get(name, mirror, copy=copy, echo=say)}")


@data.command()
def prepare(
    name: Annotated[str, typer.Argument(help="ct100, semiseg, p9, p20 or p1110.")], mirror: _Mirror = None
) -> None:
    """Store NAME as arrays that train fast, with fold statistics and fingerprint, under data/prepared.

    \b
    Example:
      covidseg data prepare p20
    """
    from covidseg.data.prepare import prepare as store

    store(name, mirror, echo=say)


@data.command()
def check(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="ct100, semiseg, p9, p20, p1110; or a folder of yours.")
    ] = "",
    mirror: _Mirror = None,
    images: Images = None,
    masks: Masks = None,
    patients: Patients = None,
    intensity: Intensity = None,
    series: Series = None,
    fill: Fill = None,
    resample_mask: Resample = False,
) -> None:
    """Read every file of NAME and print one line per volume; exit 1 if one is missing, damaged or misfit.

    NAME may be a folder of yours that holds images/, masks/ and, if several scans show one person, patients.csv;
    or name the two folders with --images and --masks. All problems of layout, geometry and labels are listed, file
    by file: what passes here, `covidseg train --images DIR --masks DIR` can learn from.

    \b
    Example:
      covidseg data check p9
      covidseg data check mydata
      covidseg data check --images scans --masks drawn --patients who.csv
    """
    from covidseg.data.own_files import in_folder
    from covidseg.errors import UserError

    how = dict(intensity=intensity, series=series, fill=fill, resample_mask=resample_mask)
    if name and Path(name).is_dir() and not _is_set(name):
        own = in_folder(name, images, masks, patients, **how)
    else:
        own = own_data(images, masks, patients, **how)
    if own is not None:
        print_look(own, say)
    elif name:
        _check_set(name, mirror)
    else:
        raise UserError("Name what to check: a data set, a folder of yours, or --images DIR --masks DIR.")


def _is_set(name: str) -> bool:
    from covidseg.data.layouts import LAYOUTS

    return name in LAYOUTS


def _check_set(name: str, mirror: Path | None) -> None:
    from covidseg.data import prepare as preparing
    from covidseg.data.layouts import WHOLE
    from covidseg.errors import UserError

    rows = preparing.check(name, mirror)
    columns = [c for c in rows[0] if c != "problem"]
    width = {c: max(len(c), *(len(str(row[c])) for row in rows)) for c in columns}
    say("  ".join(c.ljust(width[c]) for c in columns))
    for row in rows:
        say("  ".join(str(row[c]).ljust(width[c]) for c in columns) + f"  {row['problem'] or 'ok'}")
    missing = preparing.missing_ids(name, mirror)
    say(f"{len(rows)} of {WHOLE[name]} volumes; the paper's folds name {len(missing)} slices not here.")
    if state := preparing.prepared_differs(name):
        say(f"prepared: {state}")
    bad = [row for row in rows if row["problem"]]
    if bad:
        raise UserError(f"{name}: {len(bad)} of {len(rows)} volumes have a problem, first: {bad[0]['problem']}")


@data.command()
def experts(
    mirror: _Mirror = None,
    write: Annotated[bool, typer.Option("--write", help="Store the numbers in data/experts.json, for tables.")] = False,
) -> None:
    """Compare the two experts whose masks P9 and P20 hold of the same scans: a yardstick for every table.

    \b
    Example:
      covidseg data experts
    """
    from covidseg.checkout import checkout
    from covidseg.data.experts import FILE, SETS, as_json, two_experts
    from covidseg.files import write_text
    from covidseg.provenance import provenance

    pairs = two_experts(*SETS, mirror=mirror)
    for pair in pairs:
        names = " and ".join(f"{name} {volume}" for name, volume in zip(pair.sets, pair.volumes, strict=True))
        say(
            f"{names}: {pair.slices} slices, Dice {pair.dice:.3f}, {pair.sets[1]} marks {pair.areas:.2f} times the area"
        )
    if write:
        write_text(checkout() / "data" / FILE, as_json(pairs, provenance()))
        say(f"data/{FILE} is written; `covidseg report --write` puts it under the tables.")
