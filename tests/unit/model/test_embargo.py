"""What counts as a mention of something private: too much rather than too little."""

import pytest

from distwright.model.digests import Json
from distwright.model.embargo import PUBLIC, Embargo, named_in

PRIVATE = ("repo/twin", "archive/vault")
TWIN, VAULT = Embargo(frozenset({"repo/twin"})), Embargo(frozenset({"archive/vault"}))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"repo": "twin"}, TWIN),
        ({"archive": "vault"}, VAULT),
        ({"environment": {"shelf": [{"archive": "debian"}, {"archive": "vault"}]}}, VAULT),
        ({"components": {"vault/fixes": ["main"]}}, VAULT),
        ({"subject": "twin refs/heads/main"}, TWIN),
        ({"about": "vault/fixes hello 1.0"}, VAULT),
        ({"about": "suite vault/fixes@2026010101"}, VAULT),
        ({"due": ["petrel/next", "vault/fixes"]}, VAULT),
        ({"what": "ends on Monday (needed by ref twin refs/heads/x)"}, TWIN),
        ({"message": "not signed anew: petrel/next, vault/fixes"}, VAULT),
        (["vault/fixes", {"repo": "twin"}], TWIN | VAULT),
        ({"origin": {"from": ["debian/stable", ["vault/fixes"]]}}, VAULT),
        ({"repo": "petrel", "archive": "twin", "branch": "vault"}, PUBLIC),
        ({"source": "vault", "message": "of the vault", "number": 7, "is": True, "none": None}, PUBLIC),
        (
            {
                "path": "pool/vault/x",
                "repo": "twin2",
                "archive": "vaults/x",
                "url": "https://x/vault/y",
                "o": "a-vault/x",
            },
            PUBLIC,
        ),
    ],
)
def test_names_are_found_in_any_depth_and_nothing_else_is(value: Json, found: Embargo) -> None:
    assert named_in(value, PRIVATE) == found
    assert named_in(value, ()) == PUBLIC


def test_text_and_embargo_are_one() -> None:
    both = VAULT | TWIN
    assert both.text == "archive/vault repo/twin"
    assert Embargo.of_text(both.text) == both
    assert (Embargo.of_text(""), PUBLIC.text, bool(PUBLIC), bool(both)) == (PUBLIC, "", False, True)
