"""Packaging of rscc; the bounds live in requirements/, each with its reason."""
import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildWithConfigs(build_py):
    """Puts ``configs/`` into the built package, as ``rscc/configs``, where commands find them.

    Metafiles (``*.yml``) lie beside the configs that they describe and go with them.

    An editable install reads them where they are, beside the package.
    """

    def configs(self) -> dict[str, str]:
        """Return built file -> source for every config and metafile."""
        if self.editable_mode:
            return {}
        found = sorted(path for path in (ROOT / 'configs').rglob('*')
                       if path.suffix in ('.py', '.yml'))
        return {str(Path(self.build_lib, 'rscc', source)): str(source)
                for source in (path.relative_to(ROOT) for path in found)}

    def run(self) -> None:
        """Build the package, then copy the configs."""
        super().run()
        for target, source in self.configs().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(str(ROOT / source), target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return every file that :meth:`run` writes."""
        return [*super().get_outputs(include_bytecode), *self.configs()]

    def get_output_mapping(self) -> dict[str, str]:
        """Return built file -> source."""
        return {**super().get_output_mapping(), **self.configs()}

    def get_source_files(self) -> list[str]:
        """Return the sources, for the archive of sources."""
        return [*super().get_source_files(), *self.configs().values()]


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
    description='Remote sensing change captioning, change detection, semantic change and image '
                'captioning',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['rscc', 'rscc.*']),
    package_data={'rscc': ['**/*.css', '**/*.j2', '**/*.js', '**/*.json', '**/*.txt',
                           'demo/examples/*.png',
                           'weights/**/*.safetensors', 'weights/**/*.md', 'weights/**/*.log']},
    cmdclass={'build_py': BuildWithConfigs},
    entry_points={'console_scripts': ['rscc = rscc.cli:main']},
    python_requires='>=3.11,<3.14',
    install_requires=read_blocks('mminstall')[''] + read_blocks('runtime')[''],
    extras_require=EXTRAS,
    classifiers=[
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
