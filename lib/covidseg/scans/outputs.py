"""Where the files of a scan go, and how they get there whole.

All files are written into a hidden folder beside their place and renamed at the end. Renaming within a folder cannot
stop half-way, so a full disk or Ctrl-C leaves the old files whole and no half ones.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from covidseg.errors import UserError

MASK_SUFFIXES = (".nii.gz", ".nii", ".png")


@dataclass(frozen=True)
class Outputs:
    """The files of one OUT: ``chest.nii.gz``, ``chest_slices.csv``, ``chest_overlay.png``, ``chest_report.html``."""

    mask: Path
    slices: Path
    overlay: Path
    report: Path

    @classmethod
    def beside(cls, out: Path, *, picture: bool) -> "Outputs":
        """Names from OUT. picture : the scan is one image, so the mask is a PNG; else it is NIfTI.

        Raises UserError for an extension that does not fit, a folder, or a parent that is no folder.
        """
        allowed = (".png",) if picture else (".nii.gz", ".nii")
        suffix = next((s for s in MASK_SUFFIXES if out.name.lower().endswith(s)), None)
        if suffix not in allowed or out.name.lower() == suffix:
            kind = "an image" if picture else "a volume"
            hint = f"{out.name.split('.')[0] or 'mask'}{allowed[0]}"
            raise UserError(f"OUT is {out.name!r}, but the mask of {kind} ends in {' or '.join(allowed)}, e.g. {hint}.")
        if out.is_dir():
            raise UserError(f"OUT {out} is a folder; name a file in it, e.g. {out / ('mask' + allowed[0])}.")
        if not out.parent.is_dir():
            what = "is a file" if out.parent.exists() else "does not exist"
            raise UserError(f"The folder of OUT, {out.parent}, {what}; create it or choose another.")
        stem = out.name[: -len(suffix)]
        return cls(out, *(out.with_name(f"{stem}_{what}") for what in ("slices.csv", "overlay.png", "report.html")))

    def __iter__(self) -> Iterator[Path]:
        return iter((self.mask, self.slices, self.overlay, self.report))

    def refuse_overwriting(self, force: bool) -> None:
        folders = [path.name for path in self if path.is_dir()]
        if folders:
            raise UserError(
                f"{self.mask.parent / folders[0]} is a folder, and a file must go there; choose another OUT."
            )
        there = [path.name for path in self if path.exists()]
        if there and not force:
            raise UserError(f"{', '.join(there)} exists in {self.mask.parent}; --force replaces it, -o takes another.")


@contextmanager
def staged(outputs: Outputs, *, force: bool = False) -> Iterator[Outputs]:
    """Lend the same names in a hidden folder; on leaving without an error, rename all into place.

    Entered before any computing, so that a folder without write permission is known at once.
    Raises UserError if a file exists (without ``force``), nothing can be written or the disk is full.
    """
    outputs.refuse_overwriting(force)
    folder = outputs.mask.parent
    try:
        stage = Path(tempfile.mkdtemp(prefix=".covidseg-", dir=folder))
    except OSError as error:
        raise UserError(f"Cannot write into {folder}: {_reason(error)}. Choose another place for OUT.") from error
    try:
        yield Outputs(*(stage / path.name for path in outputs))
        outputs.refuse_overwriting(force)  # somebody else may have been faster
        for path in outputs:
            os.replace(stage / path.name, path)
    except UserError as error:  # a writer names the hidden file; people know it by its place
        raise UserError(str(error).replace(str(stage), str(folder))) from error
    except OSError as error:
        raise UserError(f"Writing into {folder} failed: {_reason(error)}. Nothing there was changed.") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full"
    return (error.strerror or str(error)).lower()
