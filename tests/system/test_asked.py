"""The one real action that a host asks for: the .changes of a build is signed by the server, if it is what was ordered."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.builds.test_package import INPUTS
from tests.worlds.archive import make_deb, make_source, make_upload
from tests.worlds.hosts import HOSTED
from tests.worlds.work import Workshop, workshop

from distwright.builds.package import BUILDER_CREDENTIAL, PACKAGE_BUILD
from distwright.errors import WorkFailed
from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import StepResult
from distwright.model.digests import Json
from distwright.model.records import Job
from distwright.signing.signer import make_key
from distwright.signing.verify import Keyring
from distwright.tools.sandbox import Sandbox
from distwright.worker.asked import AskedContext, asker, perform_asked
from distwright.worker.context import signer_of
from distwright.worker.kinds import KINDS

pytestmark = pytest.mark.system
NAME = "changes/greeter_1.0_amd64.changes"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    shop = workshop(tmp_path / "state", Sandbox(None))
    make_key(shop.paths.key(BUILDER_CREDENTIAL), "the builder <builder@example.org>")
    yield shop
    shop.database.close()


def earlier(shop: Workshop) -> dict[str, StepResult]:
    upload = make_upload(make_source("greeter"), make_deb("greeter"))
    unsigned = upload.changes.partition(b"\n\n")[2].partition(b"\n-----BEGIN")[0] + b"\n"
    return {"build": StepResult({NAME: shop.objects.put(unsigned)})}


def sign(shop: Workshop, inputs: dict[str, Json]) -> StepResult:
    """Ask as a host does, without the network between: what goes over it are the arguments and the answer."""
    with shop.database.write() as tx:
        job = place_order(tx, JobOrder(PACKAGE_BUILD.kind, inputs, "build greeter"), shop.database.now())

    def act(number: int, fence: int, step: str, asked: Json) -> dict[str, Json]:
        assert (number, fence) == (job.id, 1)
        return perform_asked(KINDS, job, step, asked, _context(shop, job))

    return asker(shop.context(job.id), act)("sign", earlier(shop))


def _context(shop: Workshop, job: Job) -> AskedContext:
    given = shop.context(job.id)
    return AskedContext(
        database=given.database,
        objects=given.objects,
        fetcher=given.fetcher,
        config=HOSTED,
        paths=given.paths,
        sandbox=given.sandbox,
        job=given.job,
        fence=given.fence,
        tell=given.tell,
        is_cancelled=given.is_cancelled,
    )


def test_changes_of_a_build_elsewhere_are_signed_here(shop: Workshop) -> None:
    digest = sign(shop, dict(INPUTS)).outputs[NAME]
    keyring = Keyring(signer_of(shop.paths, [BUILDER_CREDENTIAL]).certificate(), "the builder")
    assert b"Source: greeter" in keyring.verify_clear(shop.objects.read(digest), ".changes").content
    assert "signed greeter_1.0_amd64.changes" in shop.log()


def test_changes_of_something_else_are_not_and_that_is_the_works_fault(shop: Workshop) -> None:
    with pytest.raises(WorkFailed, match=r"not what was ordered: it has Version '1\.0' instead of 2\.0"):
        sign(shop, {**INPUTS, "version": "2.0"})
