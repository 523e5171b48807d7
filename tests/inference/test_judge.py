"""A tiny random language model judges captions through the real code."""
import pytest
from fake_judge import TEMPLATE, save_judge

from rscc.evaluation.records import CaptionRecord
from rscc.inference.judge import QUESTIONS, Judge, ask, judge, read_prompts, summary

USER_ONLY = ("{% if messages[0]['role'] == 'system' %}{{ raise_exception('none') }}{% endif %}"
             + TEMPLATE)


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return save_judge(tmp_path_factory.mktemp('judge'))


def records(swapped='a house is removed'):
    return [CaptionRecord('a', 'a house is built', ['two houses are built', 'a villa appears',
                                                    'houses are built'], True, swapped=swapped),
            CaptionRecord('b', 'a road is built', ['a road appears'], True)]


@pytest.mark.parametrize('language', ['en', 'zh'])
def test_prompts_hold_the_task_the_sentences_and_one_question(language):
    prompts = read_prompts(language)
    for question in QUESTIONS:
        text = ask(records()[0], question, 0, prompts)
        assert prompts['questions'][question] in text and '- a house is built' in text
        assert all(f'- {one}' in text for one in records()[0].references)
        assert ('- a house is removed' in text) == (question == 'reversible')
        assert [line[0] for line in text.splitlines()[-5:]] == list('12345')
        assert [line[0] for line in ask(records()[0], question, 1, prompts).splitlines()[-5:]] == \
            list('54321')
    shown = {ask(records()[0], 'faithful', repeat, prompts) for repeat in range(0, 20, 2)}
    assert len(shown) > 2, 'references come in several orders'


def test_marks_are_probabilities_that_depend_on_the_question(model):
    one = Judge(model)
    marks = one.mark('You judge.', 'Is a house built?')
    assert len(marks) == 5 and sum(marks) == pytest.approx(1) and min(marks) > 0
    assert marks == one.mark('You judge.', 'Is a house built?')
    assert marks != one.mark('You judge.', 'Is a road built?')


def test_a_template_without_a_system_role_and_a_model_without_a_template_are_asked(model, caplog):
    one = Judge(model)
    plain = one.mark('You judge.', 'Is a house built?')
    one.tokenizer.chat_template = USER_ONLY
    user = one.mark('You judge.', 'Is a house built?')
    one.tokenizer.chat_template = None
    bare = one.mark('You judge.', 'Is a house built?')
    assert plain != user != bare != plain


def test_every_question_is_asked_as_often_as_wanted(model, tmp_path):
    answers = judge(Judge(model), records(), tmp_path / 'a.jsonl', repeats=3)
    found = summary(answers)
    assert set(found) == set(QUESTIONS)
    assert found['faithful']['samples'] == 2 and found['reversible']['samples'] == 1
    assert all(0 < one['mean'] < 1 and one['spread'] > 0 and one['repeats'] == 3
               for one in found.values())


def test_an_interrupted_run_is_continued_and_ends_the_same(model, tmp_path):
    path, one = tmp_path / 'a.jsonl', Judge(model)
    whole = judge(one, records(), path, repeats=2)
    text = path.read_text()
    lines = text.splitlines(keepends=True)
    path.write_text(''.join(lines[:5]) + lines[5][:9])
    asked = []
    again = judge(one, records(), path, repeats=2, told=lambda done, total: asked.append(done))
    assert again == whole and path.read_text() == text
    assert len(asked) == len(whole) - 4
    # All is there: nothing is asked again, and fewer repeats are a part of it.
    assert judge(one, records(), path, repeats=1) == [a for a in whole if a['repeat'] == 0]


def test_answers_about_other_captions_are_not_mixed(model, tmp_path):
    judge(Judge(model), records(), tmp_path / 'a.jsonl', repeats=1)
    with pytest.raises(ValueError, match='was begun with'):
        judge(Judge(model), records('a pond'), tmp_path / 'a.jsonl', repeats=1)
    (tmp_path / 'b.jsonl').write_text('{}\nnothing\n')
    with pytest.raises(ValueError, match="no file of a judge's answers"):
        judge(Judge(model), records(), tmp_path / 'b.jsonl')


def test_a_summary_of_one_repeat_has_no_spread():
    answers = [dict(sample_id='a', question='complete', repeat=0, score=0.25),
               dict(sample_id='b', question='complete', repeat=0, score=0.75)]
    assert summary(answers) == {'complete': dict(mean=0.5, samples=2, repeats=1)}
    assert summary([]) == {}
