"""Causal language models of transformers that continue a prefix: frozen, tuned or with LoRA."""
import functools
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rscc import compat
from rscc.models.adaptation import add_lora, merge_lora
from rscc.models.pretrained import load_causal_lm, make_config
from rscc.registry import Part
from rscc.text import CaptionTokenizer
from rscc.utils import did_you_mean, require
from rscc.utils.signatures import refuse_unknown

TUNES = ('frozen', 'full', 'lora')
DTYPES = ('float32', 'bfloat16')
#: Linear layers of queries and values, alone or with the keys, as models name them.
ATTENTION_LAYERS = (('q_proj', 'v_proj'), ('qkv_proj', ), ('query_key_value', ), ('Wqkv', ))
#: Rows of an embedding table beyond the tokens that published models are known to have.
MOST_FILLING = 1024


class LanguageModel(Part, nn.Module):
    """A causal language model, published or random, fixed, adapted or trained.

    Fixed weights that can be loaded from where they were published are no part of checkpoints: they
    are left out of ``state_dict`` and not missed by ``load_state_dict``. Weights of another origin
    are always saved: random ones, trained ones, and those that a state dict brought and that differ
    from the published ones.

    Args:
        tokenizer: Its ids are the model's.
        pretrained: Hub name or folder of a causal language model.
        config: In its place, fields of a configuration for random weights: ``model_type`` (GPT-2 if
            not given), sizes, dropout, ...; size of the vocabulary and ids of special tokens are
            the tokenizer's if not given.
        tune: ``'frozen'``: in evaluation mode, no weight gradient is computed; ``'full'``;
            ``'lora'``: low-rank adapters only.
        lora: Arguments of ``add_lora``; ``target_modules`` defaults to what peft adapts in such a
            model (GPT-2's ``c_attn``, ``q_proj`` and ``v_proj`` of Qwen and Llama).
        dtype: ``'bfloat16'`` keeps the fixed weights in half the memory; adapters stay float32.
            CPUs without bfloat16 instructions emulate them, slowly.
        checkpointing: Compute every layer again in the backward pass in place of keeping what it
            computed: about a third more time for the memory of one layer.

    Raises:
        OSError: If nothing pretrained is found.
        TypeError: If ``lora`` or ``config`` has an unknown field; the nearest name is given.
        ValueError: If the arguments contradict each other, the tokenizer does not fit the model, or
            the model reads ahead.

    Attributes:
        split: Set where the weights are spread over several processes (FSDP), which can only be
            gathered all together; who saves them leaves out what ``left_out`` names.
    """

    NESTED_OPTIONS: ClassVar[dict] = dict(lora=add_lora, config=dict)

    def __init__(self, tokenizer: CaptionTokenizer, pretrained: str | None = None,
                 config: Mapping | None = None, tune: str = 'frozen',
                 lora: Mapping | None = None, dtype: str = 'float32',
                 checkpointing: bool = False) -> None:
        super().__init__()
        self.checkpointing, self.split = checkpointing, False
        if (pretrained is None) == (config is None):
            raise ValueError('language_model takes either pretrained or config, found '
                             f'pretrained={pretrained!r}, config={config!r}')
        _check_tuning(tune, lora, dtype)

        # The weights, and refusal of models whose ids or direction do not fit.
        kind = getattr(torch, dtype)
        self.model = (load_causal_lm(pretrained, kind) if pretrained else
                      random_lm(tokenizer, config))
        if dtype != 'float32':  # random weights are of torch's default type
            self.model.to(kind)
        _speed_up(self.model)
        self.tune, self.published = tune, pretrained is not None
        self._check_tokenizer(tokenizer, str(pretrained or config))
        misfit = why_unfit(self.model)
        if misfit:
            raise ValueError(f"the language model '{pretrained or config}' {misfit}")

        # What is trained: nothing, everything, or adapters beside everything.
        self.model.requires_grad_(tune == 'full')
        if tune == 'lora':
            refuse_unknown(lora or {}, add_lora, 'lora')
            add_lora(self.model, **dict(lora or {}, target_modules=self._adapted(lora or {})))
            for value in self.model.parameters():
                value.data = value.data.float() if value.requires_grad else value.data
        if checkpointing:
            self._checkpoint()

        # Some models can skip the scores of positions that nobody reads.
        self._keeps = 'logits_to_keep' in inspect.signature(self.model.forward).parameters
        # What checkpoints leave out. Not by what is fixed when saving: a hook may fix for a while
        # what was trained before.
        self._fixed = [name for name, value in self.model.state_dict(keep_vars=True).items()
                       if not value.requires_grad]
        self.register_state_dict_post_hook(_leave_out)

    def _check_tokenizer(self, tokenizer: CaptionTokenizer, name: str) -> None:
        """Refuse a tokenizer with other ids than the model's.

        A model may know somewhat more ids than its tokenizer: Qwen2.5 has 151,936 rows for 151,665
        tokens, so that the rows divide well.
        """
        ids, rows = tokenizer.vocab_size, self.vocab_size
        if rows < ids:
            raise ValueError(f"the language model '{name}' knows {rows} tokens and the tokenizer "
                             f'{ids}: use the tokenizer it came with')
        if self.published and rows - ids > max(MOST_FILLING, rows // 20):
            raise ValueError(f"the language model '{name}' knows {rows} tokens and the tokenizer "
                             f'only {ids}, so its ids mean other words: use the tokenizer it came '
                             'with')

    def _adapted(self, lora: Mapping) -> Any:
        """Return which layers get adapters: those that are named, else peft's choice.

        peft knows the usual models by name; queries and values are its choice in nearly all.
        """
        named = lora.get('target_modules')
        known = require('peft', 'model.lora').utils.constants
        kind = self.model.config.model_type
        if named is not None or kind in (
                known.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING):
            return named
        layers = {name.rpartition('.')[2] for name, part in self.model.named_modules()
                  if isinstance(part, nn.Linear)}
        choice = next((names for names in ATTENTION_LAYERS if set(names) <= layers), None)
        if choice is None:
            raise ValueError(f"nobody knows which layers of a '{kind}' model to adapt: name some "
                             f'of {sorted(layers)} in lora=dict(target_modules=[...])')
        return list(choice)

    def _checkpoint(self) -> None:
        """Have the layers computed again in the backward pass."""
        if not getattr(self.model, 'supports_gradient_checkpointing', False):
            raise ValueError(f'{type(self.model).__name__} has no layers that can be computed '
                             'again in the backward pass: set checkpointing=False')
        compat.compute_again(self.model)
        # A need of the other kind of checkpointing alone: gradients of all words.
        self.model.disable_input_require_grads()
        # A layer computes again in training mode only, which in a frozen model it alone has: what
        # it drops itself (OPT), not by a layer of its own below, is switched off.
        for layer in self._again() if self.tune == 'frozen' else ():
            for name, value in vars(layer).items():
                if 'drop' in name and isinstance(value, float):
                    setattr(layer, name, 0.0)

    def _again(self) -> list[nn.Module]:
        """Return the layers that are computed again in the backward pass."""
        kind = compat.import_transformers('modeling_layers').GradientCheckpointingLayer
        return [layer for layer in self.model.modules()
                if isinstance(layer, kind) and layer.gradient_checkpointing]

    @property
    def dtype(self) -> torch.dtype:
        """Type of the embeddings that the model reads."""
        return self.model.get_input_embeddings().weight.dtype

    @property
    def width(self) -> int:
        """Width E of the embeddings that the model reads."""
        return self.model.get_input_embeddings().embedding_dim

    @property
    def vocab_size(self) -> int:
        """Number of ids that the model knows."""
        return self.model.get_input_embeddings().num_embeddings

    @property
    def positions(self) -> int | None:
        """Longest sequence, prefix included; None where the model tells no limit."""
        return getattr(self.model.config, 'max_position_embeddings', None)

    def train(self, mode: bool = True) -> 'LanguageModel':
        """Switch the mode; a frozen model stays in evaluation mode, without dropout."""
        super().train(mode)
        if self.tune == 'frozen':
            self.model.eval()
        for layer in self._again() if self.checkpointing else ():
            layer.training = mode  # its own mode alone tells whether it is computed again
        return self

    def embed(self, ids: Tensor) -> Tensor:
        """Return the embeddings (..., E) of ids (...)."""
        return self.model.get_input_embeddings()(ids)

    def forward(self, inputs: Tensor, keep: int, scored: Tensor | None = None) -> Tensor:
        """Score the id after each of the last ``keep`` positions.

        Nothing is masked: fill-up at the end of a row is seen by no position before it.

        Args:
            inputs: Embeddings (N, L, E).
            keep: Number of positions, 1 to L.
            scored: Mask (N, keep) of those to score; None for all.

        Returns:
            Logits (N, keep, V), or (K, V) of the K positions in ``scored``, row by row.
        """
        head = self.model.get_output_embeddings()
        handle = None if scored is None else head.register_forward_pre_hook(
            # Of (N, L, E) those that are scored, (1, K, E): the others never become logits.
            lambda _, inputs: (inputs[0][:, -keep:][scored][None], ))
        try:
            output = self.model(inputs_embeds=inputs.to(self.dtype), use_cache=False,
                                **(dict(logits_to_keep=keep) if self._keeps else {}))
        finally:
            if handle is not None:
                handle.remove()
        return output.logits[:, -keep:] if scored is None else output.logits[0]

    def merge(self) -> dict[str, Any]:
        """Make the model one of plain weights, adapters merged, all of which are saved.

        Returns:
            The config that builds it, with no need of published weights.
        """
        # Adapters are float32: added to weights of bfloat16 they would be rounded away.
        if self.tune == 'lora':
            self.model.float()
        merge_lora(self.model)
        self.published, self.tune = False, 'frozen'
        self.model.requires_grad_(False)
        # The architecture alone: where the weights once came from no longer matters.
        fields = self.model.config.to_diff_dict()
        for name in ('transformers_version', 'architectures', 'dtype', '_name_or_path'):
            fields.pop(name, None)
        halved = dict(dtype='bfloat16') if self.dtype is torch.bfloat16 else {}
        return dict(config=fields, tune='frozen', **halved)

    def left_out(self) -> list[str]:
        """Return the names below ``model`` that checkpoints do not hold."""
        if not self.published:
            return []
        # Not asked of state_dict(), which gathers the weights of a model that is split over GPUs.
        thawed = {name.replace('_fsdp_wrapped_module.', '') for name, value in
                  self.model.named_parameters(remove_duplicate=False) if value.requires_grad}
        return [name for name in self._fixed if name not in thawed]

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args) -> None:
        """Supply what checkpoints leave out, unless this one holds any of it."""
        # Published weights that checkpoints leave out come from the model; other ones replace them.
        own = self.model.state_dict()
        names = {f'{prefix}model.{name}': own[name] for name in self.left_out()}
        given = [name for name in names if name in state_dict]
        if not given:
            state_dict |= names
        elif any(not _same(state_dict[name], names[name]) for name in given):
            self.published = False
        super()._load_from_state_dict(state_dict, prefix, *args)


def _check_tuning(tune: str, lora: Mapping | None, dtype: str) -> None:
    """Refuse options that are unknown, or contradict each other."""
    for name, value, known in (('tune', tune, TUNES), ('dtype', dtype, DTYPES)):
        if value not in known:
            raise ValueError(f"language_model has no {name}='{value}', only {list(known)}."
                             f'{did_you_mean(str(value), known)}')
    if lora and tune != 'lora':
        raise ValueError(f"language_model has lora={dict(lora)} and tune='{tune}': set "
                         "tune='lora', or leave lora out")
    if tune == 'full' and dtype != 'float32':
        raise ValueError(f"language_model has tune='full' and dtype='{dtype}', in which small "
                         'updates of weights are lost: keep them in float32 and compute in '
                         f"{dtype} (tools/train.py --amp), or set tune='lora'")


def _leave_out(module: LanguageModel, state_dict: dict[str, Tensor], prefix: str,
               local_metadata: Mapping) -> None:
    for name in () if module.split else module.left_out():
        state_dict.pop(f'{prefix}model.{name}', None)


def _speed_up(model: nn.Module) -> None:
    """Have the same numbers computed faster.

    GPT-2's activation is one operation in torch, eight in transformers. A classifier of fixed
    weights multiplies a slice of the positions one sample after the other unless it is contiguous.
    """
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child).__name__ == 'NewGELUActivation':
                setattr(module, name, nn.GELU(approximate='tanh'))
    model.get_output_embeddings().register_forward_pre_hook(_contiguous)


def _contiguous(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (inputs[0].contiguous(), )


@torch.no_grad()
def why_unfit(model: nn.Module) -> str:
    """Return what keeps a model from continuing a prefix, or ''."""
    # Two rows that differ in their second id: a causal model scores both alike after the first.
    mode, ids = model.training, torch.tensor([[0, 0], [0, 1]])
    embedded = model.get_input_embeddings()(ids)
    output = model.eval()(inputs_embeds=embedded, use_cache=True)
    model.train(mode)
    one, other = output.logits[:, 0].float()
    # A few roundings apart, as coarse as the weights are.
    coarse = 4 * torch.finfo(embedded.dtype).eps * float(one.abs().max())
    if not torch.allclose(one, other, atol=max(1e-5, coarse)):
        return ('is not causal: it attends to later tokens, as BERT does; take another model, or '
                'set is_decoder=True in its configuration')
    # What a search of beams rearranges; models without attention (Mamba) have something else.
    if not hasattr(compat.keys_and_values(output), 'reorder_cache'):
        return ('keeps no keys and values of the tokens that it has read, as models without '
                'attention do (Mamba, RWKV); take another model')
    return ''


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one.to(other), other)


def random_lm(tokenizer: CaptionTokenizer, config: Mapping) -> nn.Module:
    """Make a causal language model with random weights.

    Args:
        tokenizer: Gives the size of the vocabulary and the special tokens.
        config: Fields of a transformers configuration, ``model_type`` among them or GPT-2's.

    Raises:
        TypeError: If it has no such field; the nearest name is given.
        ValueError: If transformers knows no such model.
    """
    transformers, fields = compat.import_transformers(), dict(config)
    kind = fields.pop('model_type', 'gpt2')
    # What the config leaves open about the vocabulary, the tokenizer tells.
    try:
        settings = make_config(
            functools.partial(transformers.AutoConfig.for_model, kind), fields, 'language_model',
            vocab_size=tokenizer.vocab_size, bos_token_id=tokenizer.bos_id,
            eos_token_id=tokenizer.eos_id, pad_token_id=tokenizer.pad_id)
        return transformers.AutoModelForCausalLM.from_config(settings, trust_remote_code=False)
    except ValueError as error:
        raise ValueError(f"no causal language model can be made with model_type='{kind}': "
                         f'{str(error).strip().splitlines()[0][:200]}') from error
