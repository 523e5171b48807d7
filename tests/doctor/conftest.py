"""A small rendered dataset for the doctor, made once and linked for each test that changes it."""
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rscc.doctor.examination import check_up
from rscc.doctor.recognition import parts_of_folder
from rscc.synth.generator import Parameters, generate


@pytest.fixture(scope='session')
def rendered(tmp_path_factory) -> Path:
    """Root of the built-in dataset, 72 training pairs and 8 each for validation and test."""
    root = tmp_path_factory.mktemp('doctor') / 'clean'
    generate(root, Parameters(72, 8, 8, 0), 1)
    return root


class Patient:
    """A copy of a dataset in which files and entries can be changed one by one."""

    def __init__(self, source: Path, root: Path):
        shutil.copytree(source, root, copy_function=os.link)
        self.root, self.file = root, root / 'LevirCCcaptions.json'
        self.data = json.loads(self.file.read_text(encoding='utf-8'))
        self.file.unlink()
        self.images = self.data['images']
        self._fresh = {kind: [image for image in self.images if image['split'] == split
                              and image['changeflag'] == flag]
                       for kind, (split, flag) in dict(changed=('train', 1), unchanged=('train', 0),
                                                       test=('test', 1)).items()}

    def take(self, kind: str = 'changed') -> dict:
        """Return the next entry that has no fault yet."""
        return self._fresh[kind].pop()

    def path(self, entry: dict, folder: str) -> Path:
        return self.root / 'images' / entry['split'] / folder / entry['filename']

    def write(self, entry: dict, folder: str, content: np.ndarray | bytes) -> None:
        """Put pixels or bytes in the place of a file; the linked original stays."""
        path = self.path(entry, folder)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            Image.fromarray(content).save(path, 'PNG')

    def read(self, entry: dict, folder: str) -> np.ndarray:
        return np.array(Image.open(self.path(entry, folder)))

    def copy(self, source: dict, target: dict, folders: tuple[str, ...] = ('A', 'B', 'label'),
             change=lambda data: data) -> None:
        for folder in folders:
            data = self.path(source, folder).read_bytes()
            self.write(target, folder, data if folder == 'label' else change(data))
        if 'label' in folders:
            target['sentences'] = source['sentences']

    def save(self) -> Path:
        self.file.write_text(json.dumps(self.data), encoding='utf-8')
        return self.root


@pytest.fixture
def patient(rendered, tmp_path) -> Patient:
    return Patient(rendered, tmp_path / 'patient')


@pytest.fixture
def findings():
    """Check a folder and return its counts; ``details`` gives those of one kind."""
    def check(root, **options):
        parts = parts_of_folder(Path(root))
        for part in parts:
            part.max_tokens, part.tokens_of = 40, lambda text: len(text.split())
        register = check_up(parts, jobs=1, **options)
        check.details = register.examples
        check.register, check.parts = register, parts
        registers.append(register)
        return register.counts()

    registers = []
    yield check
    for register in registers:
        register.close()
