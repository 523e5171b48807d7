"""The models command: which models there are for a task or dataset, and what is known of one."""
import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rscc.apis.command_line import explained
from rscc.config.metafiles import TASKS, ModelInfo
from rscc.utils.names import did_you_mean
from rscc.utils.terminal import cells, padded


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """List models, or tell all that the metafile of one says.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.

    Raises:
        SystemExit: If there is no such model, task or dataset.
    """
    parser = argparse.ArgumentParser(prog=prog, description=(
        'List the models of rscc, configs and weights, or tell what is known of one: paper, data, '
        'normalisation, weights, results.'))
    parser.add_argument('model', nargs='?', help='name of a config or of weights, e.g. rscc-small')
    parser.add_argument('--task', help=f'one of: {", ".join(TASKS)}')
    parser.add_argument('--dataset', help='e.g. LEVIR-CC')
    parser.add_argument('--weights', action='store_true', help='only models whose weights come '
                        'with rscc')
    args = parser.parse_args(arguments)
    with explained():
        # Imported late: help should not wait for MMEngine.
        from rscc.apis.models import model_infos
        found = model_infos(args.task, args.dataset)
        if args.model:
            print('\n'.join(_lines(_one(args.model, found))))
            return
        found = [info for info in found if info.weights is not None or not args.weights]
    width = max((cells(info.name) for info in found), default=0)
    for info in found:
        print(f'  {padded(info.name, width)}  {", ".join(info.tasks)}; {info.dataset}; '
              f'{info.method}, {_say(info.variant)}')
    if not found:
        print('none')


def _one(name: str, found: Sequence[ModelInfo]) -> ModelInfo:
    """Return the entry of a name."""
    known = {info.name: info for info in found}
    if name not in known:
        raise ValueError(f"no model is named '{name}'.{did_you_mean(name, known)} \"rscc models\" "
                         'lists them')
    return known[name]


def _lines(info: ModelInfo) -> Iterator[str]:
    """Yield what is known of a model, a line each."""
    data, group = info.method_facts, info.facts
    yield f'{info.name}: {info.method}, {_say(info.variant)}'
    yield f'  {_say(data["summary"])}'
    if 'paper' in data:
        paper = data['paper']
        yield f'  paper          {paper["title"]}, {paper["venue"]} {paper["year"]}, {paper["url"]}'
    yield f'  answers        {", ".join(info.tasks)}'
    yield f'  dataset        {info.dataset}'
    yield f'  images         {_say(group["input"])}'
    yield f'  normalisation  {_normalisation(group["normalisation"])}'
    for text in group.get('extra_inputs', ()):
        yield f'  extra input    {_say(text)}'
    for name in group.get('pretrained', ()):
        one = data['pretrained'][name]
        yield f'  starts from    {_say(one["title"])}: {one["from"]}'
    for one in data.get('weights', ()):
        if info.name in (one['name'], one['config']):
            yield f'  weights        {one["name"]}, SHA-256 {one["sha256"]}, {one["licence"]}'
    for result in data.get('measured', ()):
        if result['model'] == info.name:
            yield f'  measured       {result["dataset"]}: {result["file"]}, {result["section"]}'
    for result in data.get('published', ()):
        if result.get('config') == info.name:
            figures = ', '.join(f'{name} {value}' for name, value in result['figures'].items())
            whose = 'quoted at' if 'secondary' in result else 'theirs'
            yield f'  published      {figures} on {result["dataset"]} ({whose}: {result["url"]})'


def _normalisation(told: str | Mapping[str, Sequence[float]]) -> str:
    if isinstance(told, str):
        return told
    return ', '.join(f'{key} {" ".join(f"{value:.4g}" for value in told[key])}'
                     for key in ('mean', 'std'))


def _say(text: Any) -> str:
    return text['en'] if isinstance(text, Mapping) else text
