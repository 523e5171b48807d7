"""Packaging of rscc; the bounds live in requirements/, each with its reason."""
import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def read_version() -> str:
    """Return ``__version__`` without importing the package."""
    text = (ROOT / 'rscc' / 'version.py').read_text(encoding='utf-8')
    return re.search(r"__version__ = '([^']+)'", text).group(1)


def read_blocks(name: str) -> dict[str, list[str]]:
    """Read one file of requirements/, split at its ``# [extra]`` lines.

    Returns:
        Requirements without comments, by extra; those before the first such line under ``''``.
    """
    blocks, extra = {'': []}, ''
    for line in (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines():
        header = re.match(r'# \[(\w+)\]', line)
        extra = header.group(1) if header else extra
        requirement = line.split('#')[0].strip()
        if requirement:
            blocks.setdefault(extra, []).append(requirement)
    return blocks


EXTRAS = {name: lines for name, lines in read_blocks('optional').items() if name}
EXTRAS['all'] = sorted({line for lines in EXTRAS.values() for line in lines})
EXTRAS['tests'] = read_blocks('tests')['']
EXTRAS['docs'] = read_blocks('docs')['']

setup(
    name='rscc',
    version=read_version(),
    description='Remote sensing change captioning, change detection and image captioning',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['rscc', 'rscc.*']),
    package_data={'rscc': ['**/*.css', '**/*.j2', '**/*.js', '**/*.json', '**/*.txt']},
    python_requires='>=3.11,<3.13',
    install_requires=read_blocks('mminstall')[''] + read_blocks('runtime')[''],
    extras_require=EXTRAS,
    classifiers=[
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
