"""`python -m stages.track`: each cell and the report once, so it also logs what was missed while MLflow was away."""

from __future__ import annotations

from stages.core import console, errors, params
from stages.track import store
from stages.track.log import fingerprint, log_cells
from stages.track.run import log_report, report_digest


def main() -> None:
    """Log the missing cells; an MLflow that is off or unreachable costs a warning, not the pipeline."""
    study = params.read()
    if store.switched_off():
        console.say(
            f"warning: {store.SWITCH}=off, so nothing is logged to MLflow; `python -m stages.track` does it later"
        )
        return
    marks = {fingerprint(*cell): cell for cell in study.cells}
    try:
        with store.experiment(study) as (client, experiment_id):
            known = store.known(client, experiment_id)
            missing = [cell for mark, cell in marks.items() if mark not in known]
            log_cells(client, experiment_id, missing)
            fresh = log_report(client, experiment_id, known)
            twice = store.keep_one(client, experiment_id, {*marks, report_digest() or ""})
    except store.failures() as error:
        said = store.reason(error)
        console.say(f"warning: MLflow did not take the runs ({said}); `python -m stages.track` logs them later")
    else:
        if twice:
            console.say(f"MLflow: others logged the same at the same time; double runs that are deleted: {twice}")
        console.say(
            f"MLflow: {len(missing)} cells logged, {len(study.cells) - len(missing)} there before; "
            f"{'the report too' if fresh else 'no new report'}; see {store.page()}"
        )


if __name__ == "__main__":
    errors.run(main)
