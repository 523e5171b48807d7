"""Tables of the page of all models, in both languages, out of the metafiles below ``configs``.

The page is written by hand but for what stands between ``<!-- models:NAME -->`` and its end.
Figures of others stand in the metafiles with their source. Our own are read from the cells of the
tables that commands wrote; a metafile names them by the leading cells of the row and the head of
the column.
"""
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rscc.config.files import STAC_RECORD
from rscc.config.metafiles import TASKS, ModelInfo, ModelList
from rscc.utils import did_you_mean
from rscc.utils.files import read_json, read_text
from tools.benchmark.tables import LANGUAGES

#: Name of the page in ``docs/en`` and ``docs/zh_cn``.
PAGE = 'model_zoo.md'
_MARK = re.compile(r'<!-- models:(.+?) -->\n.*?<!-- /models:\1 -->', re.S)
#: What the tables say of their own, in both languages.
WORDS = {
    'none_measured': ('Nothing has been measured yet.', '尚未测得结果。'),
    'none_published': ('No figure could be confirmed.', '没有能够确认的数值。'),
    'no_configs': ('No config has this task yet.', '尚无此任务的配置。'),
    'change captioning': ('sentence', '句子'), 'change detection': ('change map', '变化图'),
    'semantic change': ('classes of both dates', '两个时相的类别'),
    'image captioning': ('sentence', '句子'),
    'built-in': ('built-in dataset', '内置数据集'), 'own pairs': ('your own', '自己的影像对'),
    'pseudo-pairs': ('pseudo-pairs, rendered pairs', '伪影像对与渲染影像对'),
    'with the weights': ('as the weights', '随权重而定'),
    'default': ('mean 0.5; std 0.5', '均值 0.5；标准差 0.5'),
    'standardised': ('mean {mean}; std {std}', '均值 {mean}；标准差 {std}'),
    'random': ('random weights', '随机权重'), 'not_here': ('none', '无'),
    'unknown': ('not stated', '未给出'), 'see_source': ('see its page', '见其页面'),
    'and': (', ', '、'), 'comma': (', ', '，'), 'paper': ('Paper: ', '论文：'),
    'code': ('Code', '代码'), 'config': ('config', '配置'), 'configs': ('configs', '配置'),
    'method': ('method', '方法'),
    'dataset': ('dataset', '数据集'), 'answers': ('answers', '输出'),
    'variant': ('variant', '变体'), 'start': ('starts from', '起点'), 'model': ('model', '模型'),
    'note': ('note', '说明'), 'record': ('recorded in', '记录于'), 'command': ('command', '命令'),
    'source': ('source', '来源'), 'secondary': ('secondary page: ', '二手来源：'),
    'counting': ('counting of classes', '类别的统计方式'), 'ours': ('config here', '对应的配置'),
    'normalisation': ('normalisation (values 0 to 1)', '标准化（值域 0 至 1）'),
    'input': ('images', '影像'), 'extra': ('extra inputs', '额外输入'),
    'weights': ('weights', '权重'), 'file': ('file', '文件'), 'licence': ('licence', '许可'),
    'origin': ('from', '来自'), 'variable': ('variable', '环境变量'),
    'resolution': ('metres a pixel', '每像素米数'), 'images': ('images', '影像'),
    'tiling': ('tiling', '切块'), 'hub': ('on the hub', 'Hub 上的名称'),
    'CIDEr changed': ('CIDEr, changed pairs', 'CIDEr（变化对）'),
    'BLEU-4 changed': ('BLEU-4, changed pairs', 'BLEU-4（变化对）'),
    'flag accuracy': ('flag accuracy', '变化判断准确率'),
    'F1 of 33 real pairs': ('F1, 33 real pairs', 'F1（33 对真实影像）'),
    'SeK pooled': ('SeK, pooled', 'SeK（合并计）'),
    'SeK from-to': ('SeK, from-to', 'SeK（转变计）'),
    'F_scd pooled': ('F_scd, pooled', 'F_scd（合并计）'),
    'F_scd from-to': ('F_scd, from-to', 'F_scd（转变计）'),
    'F1 changed': ('F1 of the change map', '变化图 F1'),
    'object named': ('object named', '地物说对'),
    'whole direction': ('whole direction', '方向全对'),
}


def render_page(text: str, models: ModelList, language: str, root: Path) -> str:
    """Return the page of all models with its tables as the metafiles have them.

    Args:
        text: The page as it is.
        models: What the metafiles tell.
        language: One of ``LANGUAGES``.
        root: Of the repository, for the records that hold our figures.

    Raises:
        ValueError: If a mark is unknown or missing, or a metafile names a cell that its record
            does not have.
    """
    tables = Tables(models, language, root).blocks()
    found = _MARK.findall(text)
    if sorted(found) != sorted(tables):
        odd = sorted({*found} ^ {*tables}) or [name for name in found if found.count(name) > 1]
        raise ValueError(f"the {language} page needs the marks '<!-- models:NAME -->' and "
                         f"'<!-- /models:NAME -->' once for each table; wrong are {odd}. There "
                         f'are tables for {", ".join(tables)}')
    return _MARK.sub(lambda mark: f'<!-- models:{mark[1]} -->\n{tables[mark[1]]}\n'
                                  f'<!-- /models:{mark[1]} -->', text)


class Tables:
    """The tables of the page in one language.

    Args:
        models: What the metafiles tell.
        language: One of ``LANGUAGES``.
        root: Of the repository.
    """

    def __init__(self, models: ModelList, language: str, root: Path) -> None:
        self.models, self.root = models, root
        self._number = LANGUAGES.index(language)
        self._key = ('en', 'zh')[self._number]

    def blocks(self) -> dict[str, str]:
        """Return the name of every mark with what stands between it and its end."""
        blocks = {}
        for task in TASKS:
            slug = task.replace(' ', '_')
            blocks |= {f'configs {slug}': self._configs(task),
                       f'measured {slug}': self._measured(task),
                       f'published {slug}': self._published(task),
                       f'notes {slug}': self._notes(task)}
        return blocks | {'methods': '\n\n'.join(self._methods()), 'others': self._others(),
                         'pretrained': self._pretrained(), 'data': self._data()}

    def word(self, name: str) -> str:
        """Return a text of the page's own, else the name itself."""
        return WORDS[name][self._number] if name in WORDS else name

    def say(self, text: str | float | Mapping[str, str]) -> str:
        """Return a text of a metafile in this language."""
        return text[self._key] if isinstance(text, Mapping) else str(text)

    # ---- tasks ---------------------------------------------------------------------------------

    def _configs(self, task: str) -> str:
        """Return the configs whose first task this is."""
        rows = [(f'`configs/{entry.name}.py`', entry.method, self.word(entry.dataset),
                 self._answers(entry.tasks), self.say(entry.variant), self._start(entry))
                for entry in self.models.models.values()
                if entry.tasks[0] == task and entry.weights is None]
        heads = ('config', 'method', 'dataset', 'answers', 'variant', 'start')
        return self.table(heads, rows) if rows else self.word('no_configs')

    def _answers(self, tasks: Iterable[str]) -> str:
        return self.word('and').join(map(self.word, tasks))

    def _start(self, entry: ModelInfo) -> str:
        known = entry.method_facts.get('pretrained', {})
        titles = [self.say(known[name]['title']) for name in entry.facts.get('pretrained', ())]
        return self.word('comma').join(titles) or self.word('random')

    def _results(self, key: str, task: str) -> tuple[list[Mapping[str, Any]], list[str]]:
        """Return the results of a task and the metrics that any of them has."""
        found = [result for data in self.models.methods.values()
                 for result in data.get(key, ()) if result['task'] == task]
        return found, list(dict.fromkeys(name for result in found for name in result['figures']))

    def _measured(self, task: str) -> str:
        found, metrics = self._results('measured', task)
        rows = []
        for result in found:
            figures = read_cells(self.root / result['file'], result['section'], result['figures'])
            page = Path(result['file']).name
            rows.append((f'`{result["model"]}`', self.word(result['dataset']),
                         *(figures.get(name, '') for name in metrics),
                         self.say(result.get('note', '')), f'[{page}]({page}), '
                         f'`{result["section"]}`', f'`{result["command"]}`'))
        return self.table(('model', 'dataset', *metrics, 'note', 'record', 'command'), rows) if (
            rows) else self.word('none_measured')

    def _published(self, task: str) -> str:
        found, metrics = self._results('published', task)
        rows = [(result['model'], result['dataset'],
                 *(result['figures'].get(name, '') for name in metrics),
                 self._counting(result),
                 f'{self.word("secondary") if "secondary" in result else ""}'
                 f'[{self.say(result["source"])}]({result["url"]})',
                 f'`{result["config"]}`' if 'config' in result else self.word('not_here'),
                 self.say(result.get('note', '')))
                for result in sorted(found, key=lambda result: result['dataset'])]
        return self.table(('model', 'dataset', *metrics, 'counting', 'source', 'ours', 'note'),
                          rows) if (
            rows) else self.word('none_published')

    def _counting(self, result: Mapping[str, Any]) -> str:
        """Return how class maps were counted, where figures depend on it and a source says it."""
        if result['task'] != 'semantic change':
            return ''
        return result.get('counting', self.word('unknown'))

    def _notes(self, task: str) -> str:
        """Return what metafiles say of comparing, as a list that goes on from the page's."""
        return '\n'.join(f'- {self.say(note)}' for data in self.models.methods.values()
                         if data['tasks'][0] == task for note in data.get('notes', ()))

    # ---- methods, weights, data ----------------------------------------------------------------

    def _methods(self) -> Iterator[str]:
        """Yield one section for each method that has configs."""
        for data in [data for data in self.models.methods.values() if data['models']]:
            yield f'### {data["method"]}'
            yield '\n'.join([self.say(data['summary']), *self._paper(data)])
            rows = [(self._config_names(group), self.say(group['variant']),
                     self._normalisation(group['normalisation']), self.say(group['input']),
                     self.word('comma').join(map(self.say, group.get('extra_inputs', ()))))
                    for group in data['models']]
            yield self.table(('configs', 'variant', 'normalisation', 'input', 'extra'), rows)
            if data.get('weights'):
                rows = [(f'`{one["name"]}`', f'`{one["file"]}`', f'`{one["sha256"]}`',
                         one['licence'], f'`{one["config"]}`') for one in data['weights']]
                yield self.table(('weights', 'file', 'SHA-256', 'licence', 'config'), rows)
            if data.get('commands'):
                yield '\n'.join(['```bash', *data['commands'], '```'])

    def _config_names(self, group: Mapping[str, Any]) -> str:
        return self.word('and').join(f'`{name}`' for name in group['configs'])

    def _others(self) -> str:
        """Return a list of the methods that have no config."""
        return '\n'.join(f'- **{data["method"]}.** {self.say(data["summary"])} '
                         f'{self._citation(data["paper"])}'
                         for data in self.models.methods.values() if not data['models'])

    def _paper(self, data: Mapping[str, Any]) -> list[str]:
        if 'paper' not in data:
            return []
        return ['', f'{self.word("paper")}{self._citation(data["paper"])}']

    def _citation(self, paper: Mapping[str, Any]) -> str:
        """Return a paper with its link, and its code where there is some."""
        authors = f'{", ".join(paper["authors"])}. ' if 'authors' in paper else ''
        code = f' [{self.word("code")}]({paper["code"]}).' if 'code' in paper else ''
        return (f'{authors}[{paper["title"]}]({paper["url"]}). {paper["venue"]}, {paper["year"]}.'
                f'{code}')

    def _normalisation(self, told: str | Mapping[str, Sequence[float]]) -> str:
        if isinstance(told, str):
            return self.word(told)
        mean, std = (', '.join(f'{value:.4g}' for value in told[key]) for key in ('mean', 'std'))
        return self.word('standardised').format(mean=mean, std=std)

    def _pretrained(self) -> str:
        """Return the table of the weights that trainings start from."""
        rows = dict.fromkeys(
            (self.say(one['title']), _origin(one['from']),
             f'`{one["variable"]}`' if 'variable' in one else '',
             self._digest(one),
             one.get('licence', self.word('see_source')))
            for data in self.models.methods.values() for one in data.get('pretrained', {}).values())
        return self.table(('weights', 'origin', 'variable', 'SHA-256', 'licence'), list(rows))

    def _digest(self, weights: Mapping[str, Any]) -> str:
        """Return the hash of weights: of those that come with rscc, from their own record."""
        record = self.root / weights['from'] / STAC_RECORD
        if weights['from'].startswith('rscc/weights/'):
            # A multihash: 0x12 is SHA-256, 0x20 its 32 bytes.
            told = read_json(record)['assets']['model']['file:checksum'].removeprefix('1220')
            if weights.get('sha256', told) != told:
                raise ValueError(f"'{record}' has the SHA-256 {told}, a metafile says "
                                 f"{weights['sha256']} of these weights. Leave it out there")
            return f'`{told}`'
        return f'`{weights["sha256"]}`' if 'sha256' in weights else self.word('unknown')

    def _data(self) -> str:
        """Return the table of the datasets: metres a pixel, tiling, where they are described."""
        rows = [(f'[{self.word(name)}](datasets.md#{self.say(told["section"])})',
                 self.say(told['ground_resolution']), self.say(told['images']),
                 self.say(told.get('tiling', '')), f'`{told["hub"]}`' if 'hub' in told else '')
                for name, told in self.models.datasets.items()]
        return self.table(('dataset', 'resolution', 'images', 'tiling', 'hub'), rows)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
        """Return a Markdown table without columns that are empty throughout.

        Args:
            heads: Names of words of the page, or metrics.
            rows: Cells.
        """
        kept = [column for column in range(len(heads)) if any(row[column] for row in rows)]
        named = [self.word(heads[column]) for column in kept]
        lines = [named, ['---'] * len(kept), *([row[column] for column in kept] for row in rows)]
        return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _origin(place: str) -> str:
    """Return where weights come from as a link, if it is an address or a name of the hub."""
    if place.startswith('https://'):
        return f'[{place.rpartition("/")[2]}]({place})'
    if re.fullmatch(r'[\w-]+/[\w.-]+', place):
        return f'[{place}](https://huggingface.co/{place})'
    return f'`{place}`'


# ---- records -----------------------------------------------------------------------------------


def read_cells(path: Path, section: str, cells: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Read figures out of a table that a command wrote.

    Args:
        path: Page of the documentation.
        section: Name of the marks ``<!-- benchmark:NAME -->`` around the table.
        cells: Metric -> leading cells of its row, then the head of its column.

    Raises:
        FileNotFoundError: If there is no such page.
        ValueError: If section, row or column is not there; the message names the nearest.
    """
    text = read_text(path, 'record')
    known = re.findall(r'<!-- benchmark:([\w-]+) -->', text)
    found = re.search(rf'<!-- benchmark:{re.escape(section)} -->\n(.*?)'
                      rf'<!-- /benchmark:{re.escape(section)} -->', text, re.S)
    if found is None:
        raise ValueError(f"'{path}' has no section '{section}'.{did_you_mean(section, known)} "
                         f'It has {", ".join(known)}')
    heads, *rows = [[cell.strip() for cell in line.strip('|').split(' | ')]
                    for line in found[1].splitlines() if line.startswith('|')] or [[]]
    return {metric: _cell(heads, rows, place, f"'{path}', section '{section}'")
            for metric, place in cells.items()}


def _cell(heads: Sequence[str], rows: Sequence[Sequence[str]], place: Sequence[str], where: str
          ) -> str:
    *leading, column = place
    if column not in heads:
        raise ValueError(f"{where}: no column '{column}'.{did_you_mean(column, heads)} The table "
                         f'has {", ".join(filter(None, heads))}')
    for row in rows:
        if row[:len(leading)] == leading:
            # What a figure was aimed at, and single seeds, stay in the record.
            return re.sub(r' \(.*\)$', '', row[heads.index(column)])
    raise ValueError(f"{where}: no row that begins with '{' | '.join(leading)}'."
                     f'{did_you_mean(leading[0], [row[0] for row in rows])}')
