"""What was measured, as the table that ci/README.md has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benching.measuring import Run

HEAD = ("time", "of L", "processor", "of L", "memory", "written", "of the result")


@dataclass(frozen=True, slots=True)
class Made:
    """What a peer took in one round, and the bytes of what it made."""

    run: Run
    result: int


def markdown(title: str, made: Mapping[str, Sequence[Made]], floor: str, lacking: Mapping[str, str]) -> str:
    """Write medians of all rounds and their ratios to the floor's as a table in Markdown; below it, who is lacking."""
    lines = [f"| {title} | {' | '.join(HEAD)} |", f"| --- |{' ---: |' * len(HEAD)}"]
    under = Medians.of(made[floor])
    lines += [f"| {name} | {' | '.join(Medians.of(rounds).cells(under))} |" for name, rounds in made.items() if rounds]
    lines += ["", *(f"Not measured: {name}: {why}" for name, why in lacking.items())]
    return "\n".join(lines).rstrip()


@dataclass(frozen=True, slots=True)
class Medians:
    """Medians of several rounds: seconds, seconds of the processor, bytes."""

    seconds: float
    cpu: float
    memory: float
    written: float
    result: float

    @classmethod
    def of(cls, rounds: Sequence[Made]) -> Medians:
        """Take the median of each figure alone."""
        runs = [made.run for made in rounds]
        return cls(
            median(run.seconds for run in runs),
            median(run.cpu for run in runs),
            median(run.memory for run in runs),
            median(run.written for run in runs),
            median(made.result for made in rounds),
        )

    def cells(self, under: Medians) -> list[str]:
        """Write the figures of one row, as HEAD names them."""
        return [
            f"{self.seconds:.2f} s",
            f"{self.seconds / under.seconds:.2f}",
            f"{self.cpu:.2f} s",
            f"{self.cpu / under.cpu:.2f}",
            f"{self.memory / 1e6:.0f} MB",
            f"{self.written / 1e6:.0f} MB" if self.result else "-",
            f"{self.written / self.result:.2f}" if self.result else "-",
        ]
