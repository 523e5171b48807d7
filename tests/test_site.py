"""The site is built without a warning, and every link on it leads to a page and a place in it."""
import ast
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from test_docs import PAGES, ROOT, anchors, read

# Packages that are used from the command line or a browser, not from Python.
NOT_IN_THE_REFERENCE = ('rscc.__main__', 'rscc.cli', 'rscc.commands', 'rscc.demo', 'rscc.version')


class Tags(HTMLParser):
    """Anchors, links of the reader and files that the browser loads, of one page."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loaded, self.language = set(), [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids |= {attrs[key] for key in ('id', 'name') if attrs.get(key)}
        if tag == 'html':
            self.language = attrs['lang']
        for target in filter(None, (attrs.get('href'), attrs.get('src'))):
            (self.links if tag == 'a' else self.loaded).append(target)


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """Return folder and pages of the built site, by their path in it."""
    for package in ('mkdocs', 'material', 'mkdocstrings_handlers.python'):
        pytest.importorskip(package, reason='the site needs: pip install -r requirements/docs.txt')
    folder = tmp_path_factory.mktemp('site')
    done = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--quiet', '--site-dir', folder],
        cwd=ROOT, capture_output=True, text=True, env=dict(os.environ, NO_MKDOCS_2_WARNING='1'))
    assert done.returncode == 0, f'mkdocs build --strict:\n{done.stderr[-3000:]}'
    return folder, {path.relative_to(folder).as_posix(): Tags(path.read_text(encoding='utf-8'))
                    for path in sorted(folder.rglob('*.html'))}


def target_of(page, link):
    """Return the file within the site to which a link of a page leads, and the anchor there."""
    path, _, anchor = unquote(link).partition('#')
    file = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
    return file, anchor


def outside(link):
    return re.match(r'[a-z]+:|//', link) is not None


def test_every_link_of_the_site_leads_to_a_file_and_an_anchor_in_it(site):
    folder, pages = site
    broken = []
    for page, tags in pages.items():
        for link in filter(lambda link: not outside(link), [*tags.links, *tags.loaded]):
            # The page of missing addresses is served from any folder and names its files from the
            # root of the site.
            file, anchor = target_of(page, link.lstrip('/') or '.')
            if (folder / file).is_dir():
                file = f'{file}/index.html'
            if not (folder / file).is_file() or (anchor and anchor not in pages[file].ids):
                broken.append(f'{page}: {link}')
    assert len(pages) > 60 and not broken, '\n'.join(broken)


@pytest.mark.parametrize('page', [name for name in PAGES if name.startswith('docs/')])
def test_headings_have_the_same_anchors_on_the_site_and_on_github(page, site):
    built = site[1][page.removeprefix('docs/').replace('.md', '.html')]
    assert anchors(read(page)) <= built.ids


def test_pages_of_the_top_level_are_on_the_site(site):
    hooks = read('docs/site_hooks.py')
    for name, place in re.findall(r"^    '([\w-]+\.md)': '([\w/]+\.md)',$", hooks, re.M):
        assert (place.replace('.md', '.html') in site[1]) == (ROOT / name).is_file(), name


def test_no_page_asks_another_server(site):
    folder, pages = site
    asked = {link for tags in pages.values() for link in tags.loaded if outside(link)}
    for style in folder.rglob('*.css'):
        asked |= set(re.findall(r'(?:url\(|@import\s)["\']?((?:https?:)?//[^"\')]+)',
                                style.read_text(encoding='utf-8')))
    assert not asked


@pytest.mark.parametrize(('start', 'language'), [('en', 'en'), ('zh_cn', 'zh')])
def test_pages_say_their_language_and_lead_to_all_others(start, language, site):
    pages = site[1]
    own = {page for page in pages if page.startswith(f'{start}/')}
    assert {pages[page].language for page in own} == {language}
    index = f'{start}/index.html'
    shown = {target_of(index, link)[0] for link in pages[index].links if not outside(link)}
    assert {page for page in pages if page.startswith(('en/', 'zh_cn/', 'api/'))} <= shown
    other = 'zh_cn' if start == 'en' else 'en'
    assert f'../{other}/install.html' in pages[f'{start}/install.html'].links


def modules():
    """Yield (name, path) of every module of the package that the reference should show."""
    for path in sorted((ROOT / 'rscc').rglob('*.py')):
        parts = path.relative_to(ROOT).with_suffix('').parts
        name = '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)
        if name != 'rscc' and not name.startswith(NOT_IN_THE_REFERENCE):
            yield name, path


def test_every_module_stands_on_a_page_of_the_reference():
    shown = {name for page in (ROOT / 'docs/api').glob('*.md')
             for name in re.findall(r'^::: (\S+)$', page.read_text(encoding='utf-8'), re.M)}
    missing = [name for name, _ in modules() if name != 'rscc.models' and not any(
        name == page or name.startswith(f'{page}.') for page in shown)]
    assert not missing, f'name these in a page of docs/api (":::"): {missing}'


def test_every_documented_class_and_function_has_an_entry_in_the_reference(site):
    shown = {name for page, tags in site[1].items() if page.startswith('api/') for name in tags.ids}
    missing = [f'{name}.{node.name}' for name, path in modules()
               for node in ast.parse(path.read_text(encoding='utf-8')).body
               if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
               and not node.name.startswith('_') and f'{name}.{node.name}' not in shown]
    assert not missing
