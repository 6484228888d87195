"""selection.json: what validation classes chose."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from gzsl_dist.errors import InputError
from gzsl_dist.files import atomic_write, read_json_object


@dataclass(frozen=True)
class Selection:
    """What validation classes (or the user) chose.

    Attributes:
        steps: generator steps to train for.
        calibration_factor: subtracted from the log-probabilities of seen classes.
        how: where both come from, for people.
        fingerprint: of the data set.
        validation: figures on the validation classes at that step, None without validation.
        settings: of a baseline, chosen as well.
    """

    steps: int
    calibration_factor: float
    how: str
    fingerprint: str
    validation: dict[str, float] | None = None
    settings: dict[str, float] | None = None

    def write(self, path: Path) -> None:
        """Write as JSON."""
        atomic_write(path, json.dumps(asdict(self), indent=2))

    @classmethod
    def read(cls, path: Path, fingerprint: str) -> Selection:
        """Read what `write` wrote for the data set with this fingerprint.

        Raises:
            InputError: damaged, or made on another data set.
        """
        remedy = "delete the folder selection to choose anew"
        values = read_json_object(path, remedy)
        try:
            selection = cls(**values)
        except TypeError:
            raise InputError(f"{path}: damaged, has other fields; {remedy}") from None
        if selection.fingerprint != fingerprint:
            raise InputError(
                f"{path}: made on a data set with fingerprint {selection.fingerprint[:12]}, this "
                f"one has {fingerprint[:12]}; use another --run.dir"
            )
        return selection
