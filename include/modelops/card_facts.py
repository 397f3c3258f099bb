"""What a model card tells of a training, kept as JSON beside the model: the card is written anew after every decision.

No Airflow, no database, no MLflow. Later changes of the domain do not change what was true of a version.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from include.core.domain import LABELS, Candidate, Domain

if TYPE_CHECKING:
    from include.modelops.snapshot import Snapshot


@dataclass(frozen=True)
class Facts:
    """Everything that is known of a version once it is fitted. Every field holds JSON values, days are ISO texts.

    `fitted` and `calibrated` are the first and last day that the registered model has seen for either; what is seen
    of `calibrated` is not in `fitted`. `windows` are those of the snapshot, in which the candidates were compared.
    `validated` holds what `training.validate_candidate` returns of every candidate that could be fitted, `failed` the
    names of the others.
    """

    domain: str
    unit: str
    unit_meaning: str
    label_meaning: str
    label_version: str
    label_description: str
    label_days: int
    reach: int
    candidate: dict[str, Any]
    titles: dict[str, str]
    trained_as_of: str
    windows: dict[str, list[str]]
    fitted: list[str]
    calibrated: list[str] | None
    rows: dict[str, int]
    drops: list[str]
    data_hash: str
    features: dict[str, dict[str, Any]]
    validated: list[dict[str, Any]]
    failed: list[str]
    costs: dict[str, float]
    gate: dict[str, Any]
    python: str
    code_version: str
    airflow_run: str
    mlflow_run: str

    def to_json(self) -> str:
        """The facts as text, from which `from_json` makes equal ones."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Facts":
        """The facts that `to_json` wrote; what another release wrote beside them is left out."""
        told = json.loads(text)
        return cls(**{field.name: told[field.name] for field in fields(cls) if field.name in told})

    @property
    def seen(self) -> tuple[date, date]:
        """The first and last day that the model has seen, to be fitted or calibrated on."""
        return date.fromisoformat(self.fitted[0]), date.fromisoformat((self.calibrated or self.fitted)[1])

    @property
    def chosen(self) -> dict[str, Any]:
        """What was measured of the candidate that was chosen; empty when nothing was."""
        return next((one for one in self.validated if one["candidate"] == self.candidate["name"]), {})


def gather(
    domain: Domain,
    candidate: Candidate,
    snapshot: "Snapshot",
    validated: Sequence[Mapping[str, Any]],
    *,
    fitted_rows: int,
    gate_rows: int,
) -> Facts:
    """The facts of the version that `candidate` becomes.

    `validated` is what `training.validate_candidate` returned of each candidate. `fitted_rows` counts the rows that the
    version has seen, those it is calibrated on included.
    """
    import platform

    windows = {name: [str(day) for day in window] for name, window in asdict(snapshot.windows).items()}
    labels, costs = domain.view(LABELS), domain.costs
    fitted, calibrated = _seen(windows, candidate)
    measured = [one["candidate"] for one in validated]
    facts = Facts(
        domain=domain.name,
        unit=domain.unit,
        unit_meaning=domain.view(domain.unit).description,
        label_meaning=labels.features[0].meaning,
        label_version=labels.version,
        label_description=labels.description,
        label_days=domain.label_days,
        reach=domain.reach,
        candidate={
            "name": candidate.name,
            "title": candidate.title,
            "build": candidate.build,
            "params": dict(candidate.params),
            "calibration": candidate.calibration,
        },
        titles={one.name: one.title for one in domain.candidates},
        trained_as_of=str(snapshot.as_of),
        windows=windows,
        fitted=fitted,
        calibrated=calibrated,
        rows={"snapshot": snapshot.rows, "fitted": fitted_rows, "gate": gate_rows},
        drops=[windows["fit"][0], str(snapshot.as_of)],
        data_hash=snapshot.data_hash,
        features={
            view.name: {
                "version": snapshot.features[view.name],
                "owner": view.owner,
                "features": [[feature.name, feature.meaning] for feature in view.features],
            }
            for view in domain.views
        },
        validated=[dict(one) for one in validated],
        failed=[one.name for one in domain.candidates if one.name not in measured],
        costs={"false_alarm": costs.false_alarm, "missed": costs.missed, "threshold": costs.threshold},
        gate=asdict(domain.gate),
        python=platform.python_version(),
        code_version=snapshot.code_version,
        airflow_run=snapshot.airflow_run,
        mlflow_run=snapshot.mlflow_run,
    )
    return Facts.from_json(facts.to_json())


def _seen(windows: Mapping[str, Sequence[str]], candidate: Candidate) -> tuple[list[str], list[str] | None]:
    """The days that the registered model is fitted on, and those it is calibrated on: up to the gate window both."""
    first, last = windows["fit"][0], windows["validation"][1]
    if candidate.calibration is None:
        return [first, last], None
    start, end = (date.fromisoformat(day) for day in windows["calibration"])
    calibrated_from = date.fromisoformat(last) - (end - start)
    return [first, str(calibrated_from - timedelta(days=1))], [str(calibrated_from), last]
