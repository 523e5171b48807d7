"""Folders in the layout of the real sets, of rendered pairs of 64 x 64 pixels; known answers."""
import json

import cv2
import numpy as np

from rscc.inference.result import InferenceResult
from rscc.structures import ScoredCaption
from rscc.synth.generator import Parameters, generate

SIDE, BUILDING = 64, 1
CLASSES = ('unchanged', 'building', 'road', 'vegetation')


def rendered(folder, pairs=6):
    """Return rendered pairs, (A, B, classes, annotation) each, the changed half first.

    They are cut to the window with most change.
    """
    generate(folder, Parameters(train=0, val=0, test=pairs, seed=3))
    found = []
    for image in json.loads((folder / 'LevirCCcaptions.json').read_text())['images']:
        paths = [folder / 'images/test' / kind / image['filename'] for kind in ('A', 'B', 'label')]
        earlier, later = (cv2.imread(str(path)) for path in paths[:2])
        classes = np.asarray(_indices(paths[2]))
        cut = max((np.s_[top:top + SIDE, left:left + SIDE] for top in range(0, 193, SIDE)
                   for left in range(0, 193, SIDE)), key=lambda at: (classes[at] > 0).sum())
        found.append((earlier[cut], later[cut], classes[cut], image))
    return sorted(found, key=lambda one: -one[3]['changeflag'])


def _indices(path):
    from PIL import Image
    with Image.open(path) as image:
        return image.copy()


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def write_pair(folder, name, pair, label=None, ending='.png'):
    """Write both dates of a pair and, where it has one, its label."""
    for date, image in zip('AB', pair[:2], strict=True):
        write(folder / date / f'{name}{ending}', image)
    if label is not None:
        write(folder / 'label' / f'{name}{ending}', label)


def make_samples(root, pairs):
    """Write sets in the manner of ``$RSCC_SAMPLES``: masks of several kinds, captions of both."""
    changed, unchanged = pairs[0], pairs[-1]
    for name, pair in dict(train_1=changed, test_2=unchanged).items():
        write_pair(root / 'levir_cd_samples', name, pair, 255 * (pair[2] == BUILDING).astype('u1'))
    write_pair(root / 'egy_bcd_samples/test', 'test_1', pairs[1],
               255 * (pairs[1][2] > 0).astype('u1'))
    write_pair(root / 'dsifn_samples', '0_2', pairs[2], (pairs[2][2] > 0).astype('u1'))
    write_pair(root / 'sztaki_airchange_samples', '1', pairs[1],
               255 * (pairs[1][2] > 0).astype('u1'), '.bmp')
    write_pair(root / 'cdd_sample', '00000', unchanged, np.full((SIDE, SIDE), 1, 'u1'), '.jpg')
    grey = np.array([0, 255, 128, 0, 0, 0], 'u1')[changed[2]]
    write_pair(root / 'levir_mci_figure_crops', 'mci_1', changed, grey)
    write_captions(root / 'levir_mci_figure_crops', [
        {'filename': 'mci_1.png', 'captions': sentences(changed)}])
    for number, pair in enumerate((changed, unchanged)):
        write_pair(root / 'levir_cc_samples', f'test_{number}', pair)
    write_captions(root / 'levir_cc_samples', [
        pair[3] | {'filename': f'test_{number}.png'}
        for number, pair in enumerate((changed, unchanged))])
    return root


def make_unchanged(root, pairs):
    """Write sets in the manner of ``$RSCC_TRAIN``: an unchanged pair, three dates of a place."""
    write_pair(root / 'spacenet8_pairs', 'sn8_2', pairs[-1])
    for year, date in enumerate(pairs[-1][:2] + pairs[-2][:1], 2018):
        frame = np.dstack([date, date[..., :1]])  # a fourth band, and a row more in 2019
        frame = np.vstack([frame, frame[:1]]) if year == 2019 else frame
        write(root / 'naip_nd_timeseries' / f'm_{year}0701.tif', frame)
    (root / 'ucmerced').mkdir()
    return root


def sentences(pair):
    return [sentence['raw'] for sentence in pair[3]['sentences']]


def write_captions(folder, images):
    (folder / 'captions.json').write_text(json.dumps({'images': images}))


def result(mask, caption=None, probability=None, classes=CLASSES, values=None):
    """An answer whose probabilities are 0.7 for the class of the mask, and 0.1 for others."""
    mask = np.array(mask, np.uint8)
    if values is None:
        values = np.full((len(classes), *mask.shape), 0.1, np.float32)
        np.put_along_axis(values, mask[None].astype(int), 0.7, 0)
    return InferenceResult([np.zeros((*mask.shape, 3), np.uint8)] * 2, mask, classes=classes,
                           captions=[ScoredCaption(caption, 0.0)] if caption else [],
                           change_probability=probability, probabilities=values)
