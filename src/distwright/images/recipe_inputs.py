"""What a recipe and its table add to the inputs of a build: only what is there, so that inputs of others stay what they are."""

from collections.abc import Collection, Mapping, Sequence

from distwright.config.tables import Image
from distwright.images.forms import Purpose, compression_for
from distwright.images.iso import DEFAULT_COMPRESSION, menu_entry
from distwright.images.own_packages import own_preferences
from distwright.images.recipe import Recipe
from distwright.images.recipe_files import tar_of
from distwright.images.recipe_medium import grub_files, grub_menu, grub_words
from distwright.model.digests import Json
from distwright.store.objects import ObjectStore

OWN_PREFERENCES = "00recipe"  # no file of archives/ is called so, for theirs end with .pref


def recipe_inputs(
    recipe: Recipe,
    table: Image,
    objects: ObjectStore,
    own_packages: Collection[str],
    *,
    epoch: int,
    title: str,
    options: Sequence[str],
    purpose: Purpose = Purpose.BASE,
) -> dict[str, Json]:
    """Keep what the recipe has beside packages, includes and hooks, and name it.

    own_packages: names of those that it brings along as files. options: of the kernel. purpose: what the image is for.
    """
    more: dict[str, Json] = {}
    if recipe.before:
        more["before"] = str(objects.put(tar_of(recipe.before, epoch)))
    if recipe.preseed:
        more["preseed"] = _kept(recipe.preseed, objects)
    own = {OWN_PREFERENCES: own_preferences(own_packages)} if own_packages else {}
    if preferences := {**recipe.preferences, **own}:
        more["preferences"] = _kept(preferences, objects)
    if table.recommends:
        more["recommends"] = True
    if table.documentation:
        more["documentation"] = True
    if recipe.excludes:
        more["excludes"] = str(objects.put(recipe.excludes.encode()))
    if (compression := compression_for(purpose, table.compression)) != DEFAULT_COMPRESSION:
        more["compression"] = compression
    return more | _medium(recipe, table, objects, epoch, title, options)


def _medium(
    recipe: Recipe, table: Image, objects: ObjectStore, epoch: int, title: str, options: Sequence[str]
) -> dict[str, Json]:
    more: dict[str, Json] = {}
    entry = menu_entry(title, options)
    words = grub_words(table.architecture, " ".join(("boot=live", "components", *options)))
    files = {file.path: file for file in (*grub_files(recipe.grub, entry, words), *recipe.medium)}
    if recipe.grub:
        more["menu"] = grub_menu(recipe.grub, entry, words)
    if files:
        more["medium"] = str(objects.put(tar_of(files.values(), epoch)))
    if recipe.medium_hooks:
        hooks = {name: script.encode() for name, script in recipe.medium_hooks.items()}
        more["medium_hooks"] = _kept(hooks, objects)
    return more


def _kept(contents: Mapping[str, bytes], objects: ObjectStore) -> Json:
    return {name: str(objects.put(content)) for name, content in contents.items()}
