"""Captions judged by a language model: four questions, several times each, on this machine.

Any causal language model that follows instructions will do; it is loaded from a folder or from the
local cache of the hub. It reads sentences alone, the images it never sees. It does not write its
mark but is asked for the probabilities of the five marks as its next word, so no reply has to be
understood, and a mark between two of them is possible.

A judge has habits: it likes what it read first. So every repeat shows the references in another
order, and every second one lists the marks from best to worst; the spread over the repeats says how
much such accidents are worth.
"""
import hashlib
import inspect
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rscc.compat import import_transformers
from rscc.evaluation.records import CaptionRecord
from rscc.models.pretrained import load_causal_lm
from rscc.text.normalisation import check_language, warn
from rscc.utils import atomic_write
from rscc.utils.forms import check_form

#: What is asked of every caption; the last only where the pair was answered both ways.
QUESTIONS = ('faithful', 'complete', 'specific', 'reversible')
MARKS = ('1', '2', '3', '4', '5')
_PROMPTS = {'system': str, 'references': str, 'prediction': str, 'swapped': str, 'scale': str,
            'marks': [str], 'questions': dict.fromkeys(QUESTIONS, str)}
_ANSWER = {'sample_id': str, 'question': set(QUESTIONS), 'repeat': int, 'score': float}
Answer = dict[str, Any]


def read_prompts(language: str) -> dict[str, Any]:
    """Return the words of the judge's task in a language.

    Raises:
        ValueError: If the language is unknown.
    """
    check_language(language)
    path = files('rscc.inference') / 'prompts' / f'judge_{language}.json'
    prompts = json.loads(path.read_text(encoding='utf-8'))
    check_form(prompts, _PROMPTS, f"'{path.name}'")
    return prompts


def ask(record: CaptionRecord, question: str, repeat: int, prompts: Mapping[str, Any]) -> str:
    """Return one question about one caption.

    Args:
        record: The caption with its references.
        question: One of ``QUESTIONS``.
        repeat: Which time it is asked: chooses the order of references and marks.
        prompts: From :func:`read_prompts`.
    """
    # The order depends on the sample and the repeat alone, so an interrupted run goes on as it was.
    digest = hashlib.sha256(f'{record.sample_id}/{repeat}'.encode()).digest()
    order = np.random.default_rng(int.from_bytes(digest[:8], 'big')).permutation(
        len(record.references))
    said = [*(f'- {record.references[place].strip()}' for place in order), '',
            prompts['prediction'], f'- {record.prediction.strip()}']
    if question == 'reversible':
        said += ['', prompts['swapped'], f'- {(record.swapped or "").strip()}']
    marks = prompts['marks'][::-1] if repeat % 2 else prompts['marks']
    return '\n'.join([prompts['references'], *said, '', prompts['questions'][question],
                      prompts['scale'], *marks])


class Judge:
    """A causal language model that marks captions.

    Args:
        name_or_path: Folder, or name in the local cache of the hub.
        device: Where it computes.
        dtype: Of its weights.

    Raises:
        OSError: If nothing is found there.
        ValueError: If its tokenizer has no single last token for each of the marks 1 to 5.
    """

    def __init__(self, name_or_path: str, device: str = 'cpu',
                 dtype: torch.dtype = torch.float32) -> None:
        self.name = str(name_or_path)
        self.device = torch.device(device)
        self.model = load_causal_lm(self.name, dtype).to(self.device).eval()
        self.tokenizer = import_transformers().AutoTokenizer.from_pretrained(
            self.name, trust_remote_code=False)
        marks = [self.tokenizer.encode(mark, add_special_tokens=False) for mark in MARKS]
        # Some tokenizers put a blank of its own before a word; the digit is then the token behind.
        self._before = marks[0][:-1]
        self._marks = [ids[-1] for ids in marks if ids]
        if len(set(self._marks)) < len(MARKS) or any(ids[:-1] != self._before for ids in marks):
            raise ValueError(f"the tokenizer of '{self.name}' does not write the marks 1 to 5 as "
                             f'one token each: {marks}; take another model')
        self._last_only = 'logits_to_keep' in inspect.signature(self.model.forward).parameters
        if not self.tokenizer.chat_template:
            warn(f"'{self.name}' has no chat template: is it tuned to follow instructions? It is "
                 'asked in plain text')

    @torch.inference_mode()
    def mark(self, system: str, question: str) -> list[float]:
        """Return the probabilities of the marks 1 to 5.

        Args:
            system: What its task is.
            question: What it is asked.
        """
        ids = torch.tensor([[*self._ids(system, question), *self._before]], device=self.device)
        # Logits of the last place alone: those of all places are large.
        options = dict(logits_to_keep=1) if self._last_only else {}
        logits = self.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False,
                            **options).logits[0, -1]
        return logits[self._marks].float().softmax(0).tolist()

    def _ids(self, system: str, question: str) -> list[int]:
        if not self.tokenizer.chat_template:
            return self.tokenizer.encode(f'{system}\n\n{question}\n')
        messages = [dict(role='system', content=system), dict(role='user', content=question)]
        options = dict(add_generation_prompt=True, tokenize=False, enable_thinking=False)
        try:
            text = self.tokenizer.apply_chat_template(messages, **options)
        except Exception:  # a template that knows no system role raises what it likes
            text = self.tokenizer.apply_chat_template(
                [dict(role='user', content=f'{system}\n\n{question}')], **options)
        return self.tokenizer.encode(text, add_special_tokens=False)


def questions_of(records: Iterable[CaptionRecord], repeats: int
                 ) -> Iterator[tuple[CaptionRecord, str, int]]:
    """Yield everything to ask: repeats outermost, so that an interrupted run has whole ones."""
    records = list(records)
    for repeat in range(repeats):
        for record in records:
            for question in QUESTIONS:
                # An unchanged pair is the same both ways.
                if question != 'reversible' or (record.swapped is not None
                                                and record.changed is not False):
                    yield record, question, repeat


def judge(judge_model: Judge, records: Sequence[CaptionRecord], path: str | os.PathLike,
          language: str = 'en', repeats: int = 3,
          told: Callable[[int, int], None] | None = None) -> list[Answer]:
    """Ask all questions, each answer written down at once; a file begun earlier is continued.

    Args:
        judge_model: Who is asked.
        records: Captions.
        path: A file of JSON lines: what was asked of whom, then one answer a line.
        language: Of the questions, and of the captions.
        repeats: How often each is asked.
        told: Called with the numbers of answers there are, and there will be.

    Returns:
        Every answer: ``sample_id``, ``question``, ``repeat``, ``score`` (mean mark, 0 to 1).

    Raises:
        ValueError: If the file is of another judge, other questions or other captions.
    """
    prompts = read_prompts(language)
    said = json.dumps([prompts, [[r.sample_id, r.prediction, r.swapped, list(r.references)]
                                 for r in records]], ensure_ascii=False)
    head = {'judge': judge_model.name, 'language': language,
            'asked': hashlib.sha256(said.encode()).hexdigest()[:16]}
    answers = _continued(Path(path), head)
    known = {(one['sample_id'], one['question'], one['repeat']) for one in answers}
    asked = list(questions_of(records, repeats))
    with open(path, 'a', encoding='utf-8') as file:
        for record, question, repeat in asked:
            if (record.sample_id, question, repeat) in known:
                continue
            marks = judge_model.mark(prompts['system'], ask(record, question, repeat, prompts))
            mean = sum(place * share for place, share in enumerate(marks)) / (len(MARKS) - 1)
            answers.append({'sample_id': record.sample_id, 'question': question, 'repeat': repeat,
                            'score': round(mean, 6)})
            file.write(json.dumps(answers[-1], ensure_ascii=False) + '\n')
            file.flush()
            if told is not None:
                told(len(answers), len(asked))
    wanted = {(record.sample_id, question, repeat) for record, question, repeat in asked}
    return [one for one in answers
            if (one['sample_id'], one['question'], one['repeat']) in wanted]


def _continued(path: Path, head: Mapping[str, Any]) -> list[Answer]:
    """Return the answers in a file, which is cut behind its last whole line; begin a new one."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(head, ensure_ascii=False) + '\n', encoding='utf-8')
        return []
    text = path.read_text(encoding='utf-8', errors='replace')
    # A run that was killed may have left half a line.
    whole = text[:text.rfind('\n') + 1]
    lines = whole.splitlines()
    try:
        begun = json.loads(lines[0]) if lines else None
        answers = [json.loads(line) for line in lines[1:]]
        check_form(answers, [_ANSWER], f"'{path}'")
    except ValueError as error:
        raise ValueError(f"'{path}' is no file of a judge's answers ({error}): give another "
                         '--out') from error
    if begun != head:
        raise ValueError(f"'{path}' was begun with {begun}, and this is {dict(head)}: another "
                         'judge, other questions or other captions; give another --out, or delete '
                         'the file')
    if whole != text:
        with atomic_write(path) as file:
            file.write(whole)
    return answers


def summary(answers: Iterable[Answer]) -> dict[str, dict[str, float]]:
    """Return mean and spread of every question.

    Returns:
        Question -> ``mean`` (0 to 1), ``spread`` (standard deviation of the means of the repeats;
        absent for one repeat), ``samples``, ``repeats``.
    """
    found: dict[str, dict[str, float]] = {}
    for question in QUESTIONS:
        own = [one for one in answers if one['question'] == question]
        repeats = sorted({one['repeat'] for one in own})
        if not own:
            continue
        means = [np.mean([one['score'] for one in own if one['repeat'] == repeat])
                 for repeat in repeats]
        found[question] = {'mean': float(np.mean([one['score'] for one in own])),
                           **({'spread': float(np.std(means, ddof=1))} if len(means) > 1 else {}),
                           'samples': len({one['sample_id'] for one in own}),
                           'repeats': len(repeats)}
    return found
