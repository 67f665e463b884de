"""What a result depends on besides its image, and whether a finished one still stands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from anomri.core.result import ModelRecord, Result
from anomri.runs.save import Keep
from anomri.runs.worker import file_sha256

if TYPE_CHECKING:
    from anomri.io.protocol import ProtocolReference

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """All scans of an output folder share these. Device and number of workers are no part of it: they say where the
    work is done, not what is done.

    Parameters
    ----------
    model_name, model_version, model_sha256 : the model.
    alarm_rate : false-alarm rate at which a scan fails, whether asked for or the model's own.
    keep : which files are written.
    anomri : version of the code.
    protocol : digest of the reference that headers are compared with; empty without one.
    """

    model_name: str
    model_version: str
    model_sha256: str
    alarm_rate: float
    keep: Keep
    anomri: str
    protocol: str = ""

    @classmethod
    def of(
        cls, model: ModelRecord, *, alarm_rate: float, keep: Keep, protocol: ProtocolReference | None = None
    ) -> Settings:
        """Settings of a run of this version of anomri."""
        compared = "" if protocol is None else _digest(protocol.model_dump())
        return cls(model.name, model.version, model.sha256, alarm_rate, keep, version("anomri"), compared)

    @property
    def digest(self) -> str:
        """Names these settings."""
        # What is not asked for is no setting: without a reference the digest stays what it was before there were any.
        return _digest({name: value for name, value in asdict(self).items() if (name, value) != ("protocol", "")})

    def stamp(self, *, mask_sha256: str | None, covariates: Mapping[str, float]) -> str:
        """Names these settings with what belongs to one scan alone."""
        return f"{self.digest}.{_digest({'mask': mask_sha256, 'covariates': dict(covariates)})}"

    @property
    def retry_stamp(self) -> str:
        """The stamp of a failure that is worth another try: it never equals the stamp of a scan."""
        return f"{self.digest}.retry"

    def made(self, result: Result) -> bool:
        """Whether a result was made with these settings, whatever its scan's own."""
        return result.versions.get("settings", "").partition(".")[0] == self.digest

    def stands(self, result: Result, *, stamp: str, path: Path, members: Sequence[str] = ()) -> bool:
        """Whether a result need not be made again: same settings, same model, same bytes of the image at `path`."""
        return (
            result.versions.get("settings") == stamp
            and result.model.sha256 == self.model_sha256
            and result.input.sha256 != ""
            and result.input.sha256 == file_sha256(path, members)
        )


def _digest(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
