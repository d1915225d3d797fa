"""Pages of images: their builds, and the files of one."""

from distwright.app import App
from distwright.errors import NotFound, quoted
from distwright.model.digests import Json
from distwright.site.image_rows import image_rows
from distwright.site.readers import Viewer
from distwright.web.pages import Page

_KEYS = ("image", "name", "built", "built again", "layer on", "iso sha256", "upgrades")


def images_page(app: App, _viewer: Viewer, name: str) -> Page:
    """List the builds of an image by the name of its table, of all images for "", or the files of one by its full name.

    What is shown is public, whoever asks. Raises NotFound.
    """
    rows = image_rows(app.command_context(), with_private=False)
    if name and any(row["name"] == name for row in rows):
        return _files_page(app, name)
    if name and name not in app.config().images and not any(row["image"] == name for row in rows):
        raise NotFound(f"there is no image {quoted(name)}", hint="see /images/ for those that there are")
    found: list[dict[str, Json]] = [
        {**{key: row[key] for key in _KEYS}, "url": f"/images/{row['name']}/"}
        for row in rows
        if name in ("", row["image"])
    ]
    document: list[Json] = list(found)
    title = f"Image {name}" if name else "Images"
    return Page(title, "images.html", "distwright image list", {"rows": found}, document)


def _files_page(app: App, name: str) -> Page:
    folder = app.paths.public / "images" / name
    files = {file.name: file.stat().st_size for file in sorted(folder.iterdir()) if file.is_file()}
    document: Json = {
        "name": name,
        "files": [
            {"file": file, "bytes": size, "url": f"/images/{name}/{file}"} for file, size in sorted(files.items())
        ],
    }
    return Page(f"Image {name}", "image.html", "distwright image list --json", {"name": name, "files": files}, document)
