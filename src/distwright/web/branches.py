"""Pages of branches: how each stands, of public repos, and for who may read a private one."""

import shlex

from distwright.app import App
from distwright.flow.branch_status import state_of_job
from distwright.site.branch_pages import row_to_json, seen_branch, seen_branch_rows
from distwright.site.readers import Viewer
from distwright.web.pages import Page


def branches_page(app: App, viewer: Viewer) -> Page:
    """All branches of public repos, and of those private ones that somebody may read."""
    rows = seen_branch_rows(app.database, viewer)
    return Page(
        "Branches", "branches.html", "distwright branch status REPO", {"rows": rows}, [row_to_json(row) for row in rows]
    )


def branch_page(app: App, viewer: Viewer, repo: str, branch: str) -> Page:
    """One branch: its state, stage by stage, with true commit, base and serials."""
    detail = seen_branch(app.database, viewer, repo, branch)
    values = {"detail": detail, "row": detail.row, "status": detail.status, "state_of": state_of_job}
    command = f"distwright branch status {repo} {shlex.quote(branch)}"
    return Page(f"{branch} of {repo}", "branch.html", command, values, detail.to_json())
