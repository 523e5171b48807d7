"""What mkdocs needs beyond its settings: navigation, pages of the top level, languages."""
import re
from pathlib import Path
from posixpath import dirname, join, normpath, relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
# Files of the top level that are pages of the site, and where they stand in it.
TOP_LEVEL = {
    'CHANGELOG.md': 'changelog.md',
    'CONTRIBUTING.md': 'en/contributing.md',
    'CONTRIBUTING_zh-CN.md': 'zh_cn/contributing.md',
    'SECURITY.md': 'security.md',
}
# The site has index pages in place of the README.
PLACES = {**TOP_LEVEL, 'README.md': 'en/index.md', 'README_zh-CN.md': 'zh_cn/index.md'}
LANGUAGES = {'en': ('en', 'English'), 'zh_cn': ('zh', '简体中文')}
# Pages of each section in reading order; pages not named here stand in the last section.
SECTIONS = [
    ({'en': 'Start', 'zh_cn': '入门'}, ['index', 'install', 'getting_started', 'troubleshooting']),
    ({'en': 'Use', 'zh_cn': '使用'}, ['scenes', 'demo', 'tiles', 'scaling', 'onnx', 'tools']),
    ({'en': 'Data and scores', 'zh_cn': '数据与评测'}, ['datasets', 'evaluation', 'benchmarks']),
    ({'en': 'Models', 'zh_cn': '模型'},
     ['model_zoo', 'models', 'configs', 'changeclip', 'clip_gpt', 'kd_rscc']),
    ({'en': 'More', 'zh_cn': '更多'}, []),
]
CODE_OR_LINK = re.compile(r'^ *```.*?^ *```|`[^`\n]+`|(!?)\[([^][]*)\]\(([^()\s]+)\)', re.M | re.S)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the top level and put all pages into the navigation."""
    for name, place in TOP_LEVEL.items():
        if (ROOT / name).is_file():
            files.append(File.generated(config, place, abs_src_path=str(ROOT / name)))
    pages = [file.src_uri for file in files.documentation_pages()]
    config.nav = [{title: sections(pages, folder)} for folder, (_, title) in LANGUAGES.items()]
    config.nav += [{'API': reference(pages)},
                   {'Project': [page for page in ('changelog.md', 'security.md') if page in pages]}]
    return files


def reference(pages: list[str]) -> list[str]:
    """Return the pages of the reference in the order in which its first page names them."""
    first = (ROOT / 'docs/api/index.md').read_text(encoding='utf-8')
    order = re.findall(r'\((\w+\.md)\)', first)
    found = sorted(page for page in pages if page.startswith('api/') and page != 'api/index.md')
    places = {f'api/{name}': place for place, name in enumerate(order)}
    return ['api/index.md', *sorted(found, key=lambda page: places.get(page, len(order)))]


def sections(pages: list[str], folder: str) -> list[dict[str, list[str]]]:
    """Return the navigation of one language."""
    left = {Path(page).stem: page for page in sorted(pages) if page.startswith(f'{folder}/')}
    found = []
    for titles, names in SECTIONS:
        here = [left.pop(name) for name in (names or list(left)) if name in left]
        if here:
            found.append({titles[folder]: here})
    return found


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links, which are written for GitHub, to the pages of the site."""
    source = Path(page.file.abs_src_path).relative_to(ROOT).as_posix()
    return CODE_OR_LINK.sub(lambda found: link(found, source, page.file.src_uri), markdown)


def link(found: re.Match, source: str, here: str) -> str:
    """Return a link as the site needs it; one to a file that the site lacks becomes its text."""
    mark, text, target = found.groups()
    if target is None or re.match(r'[a-z]+:|#', target):
        return found[0]
    path, _, anchor = target.partition('#')
    path = normpath(join(dirname(source), path))
    place = PLACES.get(path, path.removeprefix('docs/') if path.startswith('docs/') else None)
    if place is None:
        return text
    return f'{mark}[{text}]({relpath(place, dirname(here) or ".")}{"#" if anchor else ""}{anchor})'


def on_page_context(context: dict[str, Any], page: Page, config: MkDocsConfig, nav: Any) -> None:
    """Give each page the language of its text, and a switch to the same page in the other one."""
    folder, _, rest = page.file.src_uri.partition('/')
    config.theme['language'] = LANGUAGES.get(folder, ('en',))[0]
    rest = rest.replace('.md', '.html') if folder in LANGUAGES else 'index.html'
    config.extra['alternate'] = [dict(name=title, link=f'{place}/{rest}', lang=code)
                                 for place, (code, title) in LANGUAGES.items()]
