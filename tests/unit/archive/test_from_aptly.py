"""What is no configuration of aptly is said to be none, whatever it is."""

from pathlib import Path

import pytest

from distwright.archive.from_aptly import aptly_archive
from distwright.errors import BadUsage


@pytest.mark.parametrize("text", ['{"rootDir": 5}', "[" * 200_000, '{"packagePoolStorage": "s3"}', '{"rootDir": "~nobody-here"}',
                                  '{"packagePoolStorage": {"path": 5}}'])  # fmt: skip
def test_junk_is_no_configuration_of_aptly(tmp_path: Path, text: str) -> None:
    (tmp_path / "aptly.conf").write_text(text)
    with pytest.raises(BadUsage, match=r"aptly\.conf' is no configuration of aptly"):
        aptly_archive(tmp_path / "aptly.conf", tmp_path)
