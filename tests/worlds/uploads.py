"""A suite that takes uploads, judged as a job would; for tests of what is accepted and what is not."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from tests.worlds.archive import MadeUpload, signer
from tests.worlds.installation import WorldContext

from distwright.archive.access import Grant
from distwright.archive.editing import iter_entries
from distwright.archive.resolve import accept_order
from distwright.archive.tree import EMPTY_ROOT, list_text, parse_root
from distwright.archive.uploads import accept_upload
from distwright.errors import Refused
from distwright.jobs.step import StepResult
from distwright.model.events import EventKind
from distwright.model.records import SuiteState, UploadVerdict
from distwright.store.suites import get_suite, insert_suite
from distwright.store.uploads import list_uploads


@dataclass
class Suite:
    """The suite devel of an installation."""

    context: WorldContext

    def accept(self, upload: MadeUpload, *, signers: bytes | None = None, grants: Sequence[Grant] = ()) -> StepResult:
        """Have an upload judged: of the uploader, whose key may bring anything, or under grants."""
        changes, files = upload.keep(self.context.objects)
        order = accept_order(
            self.context.config, "devel", changes=changes, files=files, source="s", version="v",
            signers=b"" if grants else signers or signer("uploader").certificate(), grants=grants,
        )  # fmt: skip
        return accept_upload(self.context, order.inputs)

    def problems(self, upload: MadeUpload, *, signers: bytes | None = None, grants: Sequence[Grant] = ()) -> list[str]:
        """Upload what must be rejected; say why, and see that only the verdict is new."""
        before, uploads = self.state(), len(self.uploads())
        with pytest.raises(Refused) as caught:
            self.accept(upload, signers=signers, grants=grants)
        verdict = self.uploads()[0]
        assert (self.state(), len(self.uploads()), verdict.is_accepted) == (before, uploads + 1, False)
        lines = caught.value.message.split("\n")
        assert lines == ["the upload to devel is rejected:", *(f"  {problem}" for problem in verdict.problems)]
        event = self.context.events()[-1]
        assert (event.kind, event.body["problems"]) == (EventKind.UPLOAD_REJECTED, list(verdict.problems))
        return list(verdict.problems)

    def state(self) -> SuiteState:
        """Read its row."""
        with self.context.database.read() as tx:
            return get_suite(tx, "petrel", "devel")

    def uploads(self) -> list[UploadVerdict]:
        """List the verdicts, newest first."""
        with self.context.database.read() as tx:
            return list_uploads(tx)

    def names(self) -> list[tuple[str, str, str]]:
        """List what it has: list, name, version."""
        root = parse_root(self.context.objects.read(self.state().revision))
        entries = list(iter_entries(root, self.context.objects.read))
        packages = [entry for entry in entries if not entry.list_name.endswith("/i18n")]
        return [(entry.list_name, entry.name, str(entry.version)) for entry in packages]

    def text(self, list_name: str) -> str:
        """Read a list."""
        root = parse_root(self.context.objects.read(self.state().revision))
        return list_text(root, list_name, self.context.objects.read).decode()


def add_suite(context: WorldContext, name: str) -> None:
    """Make an empty suite."""
    empty = context.objects.put(EMPTY_ROOT.to_bytes())
    with context.database.write() as tx:
        insert_suite(tx, SuiteState("petrel", name, "base", empty, context.clock))
