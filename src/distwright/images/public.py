"""The public folder of an image: `images/NAME/…`, complete from the moment that anybody sees it."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from distwright.model.digests import Sha256, digest_of
from distwright.store.objects import ObjectStore
from distwright.store.settle import settle_file_system, settle_folders

COMPLETE = ".complete"


def show_image(images: Path, name: str, files: Mapping[str, Sha256], objects: ObjectStore) -> None:
    """Make a folder with all files, then let `images/NAME` name it: a new symlink renamed over the old one.

    So nobody ever finds new sums beside an old ISO, whenever the power goes. Safe to repeat.
    """
    of_name = images / COMPLETE / name
    folder = of_name / digest_of({file: str(digest) for file, digest in files.items()})
    link = images / name
    if link.is_symlink() and images / link.readlink() == folder:
        return
    shutil.rmtree(folder, ignore_errors=True)  # half-made, if anything
    for file, digest in files.items():
        objects.place(digest, folder / file)
    settle_file_system(folder)
    fresh = images / f".new-{name}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(folder.relative_to(images))
    fresh.rename(link)
    settle_folders({images})
    for old in of_name.iterdir():
        if old != folder:
            shutil.rmtree(old)
