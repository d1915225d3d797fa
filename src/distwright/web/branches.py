"""Pages of branches: how each stands, of public repos alone."""

import shlex

from distwright.app import App
from distwright.flow.branch_status import state_of_job
from distwright.site.branch_pages import public_branch, public_branch_rows, row_to_json
from distwright.web.pages import Page


def branches_page(app: App) -> Page:
    """All branches of public repos."""
    rows = public_branch_rows(app.database, app.config())
    return Page(
        "Branches", "branches.html", "distwright branch status REPO", {"rows": rows}, [row_to_json(row) for row in rows]
    )


def branch_page(app: App, repo: str, branch: str) -> Page:
    """One branch: its state, stage by stage, with true commit, base and serials."""
    detail = public_branch(app.database, app.config(), repo, branch)
    values = {"detail": detail, "row": detail.row, "status": detail.status, "state_of": state_of_job}
    command = f"distwright branch status {repo} {shlex.quote(branch)}"
    return Page(f"{branch} of {repo}", "branch.html", command, values, detail.to_json())
