"""Predictions of three forms beside references."""
import pytest

from rscc.evaluation import predictions as module
from rscc.evaluation.predictions import read_metadata, read_predictions
from rscc.evaluation.references import read_references
from rscc.utils import write_json


@pytest.fixture
def annotations(tmp_path):
    def image(name, split, *texts, **more):
        return dict(filename=f'{name}.png', split=split, sentences=[dict(raw=t) for t in texts],
                    **more)

    path = tmp_path / 'captions.json'
    write_json(path, dict(images=[
        image('test_2', 'test', ' there is no difference .'),
        image('test_1', 'test', ' a house is built .', changeflag=1),
        image('val_1', 'val', ' a road .')]))
    return path


@pytest.fixture
def references(annotations):
    return read_references(annotations, 'test')


def test_a_plain_object_is_joined_by_name(tmp_path, references):
    write_json(tmp_path / 'p.json', {'test_2.png': 'b', 'test_1': 'a'})
    records = read_predictions(tmp_path / 'p.json', references)
    assert [(r.sample_id, r.prediction) for r in records] == [('test_1', 'a'), ('test_2', 'b')]


@pytest.mark.parametrize('given', [True, False])
def test_agreement_and_trajectory_come_back_with_either_references(tmp_path, references, given):
    samples = [dict(sample_id=name, prediction='a', references=['b'], score=None)
               for name in ('test_1', 'test_2')]
    samples[1] |= dict(agreement=0.5, abstained=True, drawn=4, trajectory=[[2.0, 'b'], [1.0, 'a']],
                       truncated=40)
    write_json(tmp_path / 'p.json', dict(samples=samples))
    plain, drawn = read_predictions(tmp_path / 'p.json', references if given else None)
    assert plain.sampled is None and drawn.sampled.text == 'a'
    assert (plain.cut_at, drawn.cut_at) == (None, 40)
    assert vars(drawn.sampled) == dict(cut_at=40, agreement=0.5, abstained=True, drawn=4,
                                       trajectory=[(2.0, 'b'), (1.0, 'a')])


def test_lines_follow_the_sorted_names(tmp_path, references):
    (tmp_path / 'p.txt').write_text('a\nb\n')
    records = read_predictions(tmp_path / 'p.txt', references)
    assert [r.prediction for r in records] == ['a', 'b']
    (tmp_path / 'p.txt').write_text('a\n')
    with pytest.raises(ValueError, match='has 1 lines and the split has 2 samples: expected one'):
        read_predictions(tmp_path / 'p.txt', references)


def test_missing_and_extra_ids_are_counted_errors_unless_partial(
        tmp_path, references, monkeypatch):
    said = []
    monkeypatch.setattr(module, 'warn', said.append)
    path = tmp_path / 'p.json'
    write_json(path, {'test_1': 'a', 'tset_2': 'b'})
    both = (r"against split 'test' of .*captions.json' \(ids taken as name\): no prediction for "
            r'1 of 2 images, first: test_2; 1 ids that the split does not have, first: tset_2')
    with pytest.raises(ValueError, match=both + r'\. Is it another --split\? --partial scores'):
        read_predictions(path, references)
    assert not said
    assert [r.sample_id for r in read_predictions(path, references, partial=True)] == ['test_1']
    assert len(said) == 1 and said[0].endswith('Only the 1 images of both are scored')
    write_json(path, {'test_1': 'a', 'test_2': 'b', 'x': 'c', 'y': 'd', 'z': 'e', 'zz': 'f'})
    with pytest.raises(ValueError, match=r'taken as name\): 4 ids that .* first: x, y, z\. Is'):
        read_predictions(path, references)
    write_json(path, {'x': 'a'})
    with pytest.raises(ValueError, match='they have no image in common; 1 ids that the split'):
        read_predictions(path, references, partial=True)


@pytest.fixture
def numbered(tmp_path):
    """Images as published: number n is the file n + 1."""
    path = tmp_path / 'dataset.json'
    write_json(path, dict(images=[
        dict(filename=f'{n + 1}.tif', imgid=n, split='test' if n in (1, 3, 4) else 'train',
             sentences=[dict(raw=f'image {n} .')]) for n in range(6)]))
    return read_references(path, 'test')


@pytest.mark.parametrize(('ids', 'names'), [
    (['1', '3', '4'], 'imgid'), (['2', '4', '5'], 'name'), (['5.tif', '2.tif', '4.tif'], 'file')])
def test_ids_are_numbers_or_file_names_whichever_fits_them_all(tmp_path, numbered, ids, names):
    write_json(tmp_path / 'p.json', {key: f'said of {key}' for key in ids})
    found = read_predictions(tmp_path / 'p.json', numbered)
    assert [r.references for r in found] == [[f'image {n} .'] for n in (1, 3, 4)]
    assert {r.prediction for r in found} == {f'said of {key}' for key in ids}


def test_file_names_with_an_ending_are_never_taken_for_numbers(tmp_path, numbered):
    write_json(tmp_path / 'p.json', {'3.tif': 'a', '4.tif': 'b', '1.tif': 'c'})
    with pytest.raises(ValueError, match=r'ids taken as name\).* first: 2, 5; 2 ids .*: 3, 1 \('):
        read_predictions(tmp_path / 'p.json', numbered)


def test_an_image_named_twice_is_refused(tmp_path, references):
    write_json(tmp_path / 'p.json', {'test_1': 'a', 'test_1.png': 'b', 'test_2': 'c'})
    with pytest.raises(ValueError, match='has 3 ids for 2 images: some are there with and without'):
        read_predictions(tmp_path / 'p.json', references)


def test_ids_that_may_be_either_are_never_guessed(tmp_path, numbered):
    write_json(tmp_path / 'p.json', {'4': 'a'})
    with pytest.raises(ValueError, match=r"its ids, such as '4', may be name \(1 of 1 known\) or "
                       r'imgid \(1 of 1 known\): say which with --ids'):
        read_predictions(tmp_path / 'p.json', numbered, partial=True)
    for naming, image in (('imgid', 4), ('name', 3)):
        found = read_predictions(tmp_path / 'p.json', numbered, naming, partial=True)
        assert [r.references for r in found] == [[f'image {image} .']]
    with pytest.raises(ValueError, match=r"naming='imgids' is unknown.* Did you mean 'imgid'"):
        read_predictions(tmp_path / 'p.json', numbered, 'imgids')


def test_what_our_file_says_of_itself_is_read_and_nothing_of_other_files(tmp_path):
    write_json(tmp_path / 'p.json', dict(dataset=dict(language='zh'), split='test', samples=[]))
    assert read_metadata(tmp_path / 'p.json') == dict(dataset=dict(language='zh'), split='test')
    write_json(tmp_path / 'p.json', {'dataset': 'a caption', 'split': 'another'})
    assert read_metadata(tmp_path / 'p.json') == {}
    (tmp_path / 'p.json').write_text('{')
    assert read_metadata(tmp_path / 'p.json') == read_metadata(tmp_path / 'none.json') == {}


def test_samples_without_references_or_prediction_are_counted(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(module, 'warn', said.append)
    samples = [dict(sample_id='a', prediction='x', references=['y']),
               dict(sample_id='b', prediction='x', references=[]),
               dict(sample_id='c', references=['y'])]
    write_json(tmp_path / 'p.json', dict(samples=samples))
    assert [r.sample_id for r in read_predictions(tmp_path / 'p.json')] == ['a']
    assert said == [f"'{tmp_path / 'p.json'}': 1 of 3 samples have no {what} and are left out, "
                    f"'{name}' the first" for what, name in (('prediction', 'c'),
                                                             ('references', 'b'))]
    write_json(tmp_path / 'p.json', dict(samples=samples[1:]))
    with pytest.raises(ValueError, match='no sample with prediction and references: give'):
        read_predictions(tmp_path / 'p.json')
    write_json(tmp_path / 'p.json', dict(samples=samples[2:]))
    with pytest.raises(ValueError, match='none of its 1 sample has a prediction'):
        read_predictions(tmp_path / 'p.json')
    write_json(tmp_path / 'p.json', dict(samples=[]))
    with pytest.raises(ValueError, match="'samples' is empty"):
        read_predictions(tmp_path / 'p.json')


def test_wrong_files_say_what_was_expected(tmp_path, references):
    write_json(tmp_path / 'p.json', [1])
    with pytest.raises(ValueError, match='is no predictions file: expected the JSON of tools/test'):
        read_predictions(tmp_path / 'p.json', references)
    write_json(tmp_path / 'p.json', {})
    with pytest.raises(ValueError, match='one caption a line; found nothing'):
        read_predictions(tmp_path / 'p.json', references)
    write_json(tmp_path / 'p.json', {'test_1': 'a', 'test_2': ['b']})
    with pytest.raises(ValueError, match=r"caption of 'test_2' is a list \(\['b'\]\); .* Every id"):
        read_predictions(tmp_path / 'p.json', references)
    (tmp_path / 'p.json').write_text('{"test_1": "a", "test_2": "b", "test_1": "c"}')
    with pytest.raises(ValueError, match="has the key 'test_1' more than once in one object"):
        read_predictions(tmp_path / 'p.json', references)
    write_json(tmp_path / 'p.json', {'test_1': 'a'})
    with pytest.raises(ValueError, match=r'holds captions only: give --references'):
        read_predictions(tmp_path / 'p.json')
    with pytest.raises(FileNotFoundError, match='no such predictions file'):
        read_predictions(tmp_path / 'none.txt', references)
    with pytest.raises(FileNotFoundError, match='no such JSON file'):
        read_predictions(tmp_path / 'none.json', references)


@pytest.mark.parametrize(('samples', 'message'), [
    (['a'], r"samples: 0 is a string \('a'\); an object with 'sample_id' was expected"),
    ([dict(prediction='x')], r"samples: 0 lacks 'sample_id'"),
    ([dict(sample_id='a'), dict(sample_id='a')], r"sample 1 has the 'sample_id' 'a'"),
    ([dict(sample_id='a', prediction=1)], r'samples: 0: prediction is an integer \(1\); a string'),
    ([dict(sample_id='a', prediction='x', references='y')],
     r"samples: 0: references is a string \('y'\); a list \(each entry: a string\) or null")])
def test_samples_of_another_make_are_named(tmp_path, references, samples, message):
    write_json(tmp_path / 'p.json', dict(samples=samples))
    for given in (None, references):
        with pytest.raises(ValueError, match=message):
            read_predictions(tmp_path / 'p.json', given)


def test_results_of_coco_are_read(tmp_path, numbered):
    rows = [dict(image_id=n, caption=f'said of {n}') for n in (4, 1, 3)]
    write_json(tmp_path / 'p.json', rows)
    assert [r.prediction for r in read_predictions(tmp_path / 'p.json', numbered)] == [
        'said of 1', 'said of 3', 'said of 4']
    write_json(tmp_path / 'p.json', [*rows, rows[0]])
    with pytest.raises(ValueError, match='has 4 captions of 3 images; one an image was expected'):
        read_predictions(tmp_path / 'p.json', numbered)


def test_the_split_that_foreign_ids_are_from_is_named(tmp_path, numbered):
    write_json(tmp_path / 'p.json', {'0': 'a'})
    with pytest.raises(ValueError, match=r'ids taken as imgid\).*1 ids that the split does not '
                       r"have, first: 0 \(1 of them are of split 'train'\)\. Is it another --spl"):
        read_predictions(tmp_path / 'p.json', numbered)
