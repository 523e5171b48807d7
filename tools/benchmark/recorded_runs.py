"""Runs of a study in a CSV file, a line each, which several days and machines can fill."""
import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rscc.utils import atomic_write, did_you_mean

#: What a run is: its name in the study and its seed.
Run = tuple[str, int]


class RecordedRuns:
    """Finished runs of a study: what each was, its seed, its figures.

    Args:
        path: The CSV file; it need not be there yet.
        figures: Names of the figures of every run, a column each.
        shared: What all runs of the file have in common (their length, say), a column each.

    Raises:
        ValueError: If the file has other columns, other shared values, or what is no number.
    """

    def __init__(self, path: str | os.PathLike, figures: Sequence[str],
                 shared: Mapping[str, float]) -> None:
        self.path, self.names, self.shared = Path(path), tuple(figures), dict(shared)
        self._runs = self._read()

    def missing(self, wanted: Sequence[Run]) -> list[Run]:
        """Return those of some runs that the file lacks, in their order."""
        return [run for run in wanted if run not in self._runs]

    def figures(self, name: str, seed: int) -> dict[str, float]:
        """Return the figures of a run that is there."""
        return self._runs[name, seed]

    def add(self, name: str, seed: int, figures: Mapping[str, float]) -> None:
        """Add a run and write the file, with what others have added to it meanwhile."""
        self._runs = self._read() | {(name, seed): dict(figures)}
        with atomic_write(self.path) as file:
            table = csv.writer(file, lineterminator='\n')
            table.writerow(self._columns)
            for (run, number), own in sorted(self._runs.items()):
                table.writerow([run, number, *(f'{value:g}' for value in self.shared.values()),
                                *(f'{own[column]:.6g}' for column in self.names)])

    @property
    def _columns(self) -> list[str]:
        return ['run', 'seed', *self.shared, *self.names]

    def _read(self) -> dict[Run, dict[str, float]]:
        if not self.path.is_file():
            return {}
        with self.path.open(encoding='utf-8', newline='') as file:
            lines = csv.DictReader(file)
            for column in self._columns:
                if column not in (lines.fieldnames or ()):
                    raise ValueError(f"'{self.path}' has no column '{column}' and is not a file "
                                     'of these runs: name another with --runs.'
                                     f'{did_you_mean(column, lines.fieldnames or ())}')
            return dict(self._run(line, lines.line_num) for line in lines)

    def _run(self, line: Mapping[str, str], number: int) -> tuple[Run, dict[str, float]]:
        """Return the run of a line; one that differs in what all have in common is refused."""
        for name, value in self.shared.items():
            if line[name] != f'{value:g}':
                raise ValueError(f"'{self.path}' holds runs with {name} {line[name]}, and these "
                                 f'would have {value:g}: name another file with --runs')
        try:
            return ((line['run'], int(line['seed'])),
                    {name: float(line[name]) for name in self.names})
        except (TypeError, ValueError) as error:
            raise ValueError(f"'{self.path}', line {number}: expected a number in every column "
                             f'but the first ({error})') from error
