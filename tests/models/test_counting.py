"""Evaluations and unread tokens, counted at the networks of real pipeline classes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import toys

from gandiff.models.diffusion.counting import AUTOREGRESSIVE, DenoiserCounter, denoisers, modules
from gandiff.models.diffusion.reading import ReadingRecorder
from gandiff.models.generator import GenerationRequest


def cascade() -> Any:
    """A pipeline that holds others, whose networks have equal names."""
    stages = [toys.build_pipeline(seed) for seed in range(3)]
    return SimpleNamespace(stages=stages)


def test_networks_of_equal_names_are_all_there() -> None:
    names = [name for name in modules(cascade()) if name.startswith("unet")]
    assert names == ["unet", "unet_2", "unet_3"]


def test_each_stage_is_counted_under_its_own_name() -> None:
    pipe = cascade()
    with DenoiserCounter(pipe) as counter:
        for steps, stage in enumerate(pipe.stages, start=1):
            stage(["a", "b"], num_inference_steps=steps, guidance_scale=2.0, output_type="latent")
    assert counter.per_image(2) == {"unet": 2, "unet_2": 4, "unet_3": 6}
    assert counter.nfe(2) == 12


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("UNet2DModel", {"block_out_channels": (8,), "norm_num_groups": 4}),
        ("PriorTransformer", {"num_layers": 1}),
        ("UVit2DModel", {"num_hidden_layers": 1}),
        ("StableCascadeUNet", None),
        ("ZImageTransformer2DModel", None),
        ("Ideogram4Transformer2DModel", None),
        ("HiDreamImageTransformer2DModel", None),
        ("Kandinsky3UNet", None),
    ],
)
def test_what_denoises_is_known_by_what_it_is(name: str, settings: Any) -> None:
    import diffusers

    cls = getattr(diffusers, name, None)
    if cls is None:
        pytest.skip(f"this diffusers has no {name}")
    network = cls.__new__(cls)  # weights are not looked at
    torch.nn.Module.__init__(network)
    pipe = SimpleNamespace(components={"anything": network, "vae": torch.nn.Linear(1, 1)})
    assert list(denoisers(pipe)) == ["anything"]


def test_a_controlnet_and_an_autoencoder_are_none() -> None:
    import diffusers

    network = diffusers.ControlNetModel.from_unet(toys.build_pipeline().unet)
    pipe = SimpleNamespace(components={"controlnet": network, **toys.build_pipeline().components})
    assert list(denoisers(pipe)) == ["unet"]


def test_a_denoiser_inside_an_autoencoder_is_counted() -> None:
    import diffusers

    decoder = diffusers.ConsistencyDecoderVAE(
        encoder_block_out_channels=(8, 8),
        encoder_down_block_types=("DownEncoderBlock2D",) * 2,
        encoder_norm_num_groups=4,
        decoder_block_out_channels=(32,),
        decoder_down_block_types=("ResnetDownsampleBlock2D",),
        decoder_up_block_types=("ResnetUpsampleBlock2D",),
        latent_channels=4,
    )
    pipe = SimpleNamespace(components={"vae": decoder})
    assert list(denoisers(pipe)) == ["vae.decoder_unet"]


def test_what_a_language_model_writes_is_counted_apart() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    torch.manual_seed(0)
    writer = LlamaForCausalLM(LlamaConfig(vocab_size=32, num_attention_heads=2, **sizes)).eval()
    own = toys.build_pipeline()
    pipe = SimpleNamespace(components={"writer": writer, **own.components})
    ids = torch.ones(2, 3, dtype=torch.long)
    with DenoiserCounter(pipe) as counter:
        writer.generate(ids, max_new_tokens=5, min_new_tokens=5, do_sample=False)
        writer(ids)  # reads, and writes nothing
        own(["a", "b"], num_inference_steps=3, guidance_scale=1.0, output_type="latent")
    assert counter.nfe(2) == 3
    assert counter.per_image(2) == {"unet": 3, f"writer{AUTOREGRESSIVE}": 5}
    assert "generate" not in vars(writer)


LONG = "a red star left of a blue ring " * 4


class Encoder(torch.nn.Module):
    """A text encoder that takes whatever it is given."""

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return input_ids


def unread(read: Any, prompt: str = LONG, limit: int | None = None) -> dict[str, int]:
    """What is not read where ``read(tokenizer, encoder, denoiser)`` stands for a pipeline."""
    _, tokenizer = toys.build_text()
    encoder, unet = Encoder(), toys.build_pipeline().unet
    components = {"tokenizer": tokenizer, "text_encoder": encoder, "unet": unet}
    pipe = SimpleNamespace(components=components)
    kind = type(tokenizer)
    with ReadingRecorder(pipe) as reading:
        read(tokenizer, encoder, unet)
    assert type(tokenizer) is kind
    (found,) = reading.unread([GenerationRequest(prompt=prompt, seed=0)], limit)
    return found


def length(text: str) -> int:
    _, tokenizer = toys.build_text()
    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def test_special_tokens_use_up_the_length() -> None:
    def read(tokenizer: Any, encoder: Any, _: Any) -> None:
        encoder(
            tokenizer([LONG], padding="max_length", truncation=True, return_tensors="pt").input_ids
        )
        tokenizer([LONG], padding="longest", return_tensors="pt")  # looked at for a warning
        encoder(tokenizer([""], padding="max_length", return_tensors="pt").input_ids)

    assert unread(read) == {"text_encoder": length(LONG) - 14}


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_template_is_no_part_of_the_prompt(side: str) -> None:
    before, after = "two purple crosses ", " a triangle"

    def read(tokenizer: Any, encoder: Any, _: Any) -> None:
        tokenizer.truncation_side = side
        options = {"add_special_tokens": False, "truncation": True, "return_tensors": "pt"}
        encoder(tokenizer(before + LONG + after, max_length=12, **options).input_ids)

    template = length(before) if side == "right" else length(after)
    assert unread(read) == {"text_encoder": length(LONG) - (12 - template)}


def test_all_of_a_template_with_the_prompt_is_read() -> None:
    def read(tokenizer: Any, encoder: Any, _: Any) -> None:
        text = "two purple crosses " + "a red star" + " a triangle"
        encoder(tokenizer(text, return_tensors="pt").input_ids)

    assert unread(read, "a red star") == {}


def test_what_a_pipeline_cuts_itself_is_not_read() -> None:
    def cut_ids(tokenizer: Any, encoder: Any, _: Any) -> None:
        ids = [
            i
            for word in LONG.split()
            for i in tokenizer(word, add_special_tokens=False)["input_ids"]
        ]
        encoder(torch.tensor([[0, 0, *ids[:9], 1]]))

    def cut_text(tokenizer: Any, encoder: Any, _: Any) -> None:
        tokenizer([LONG], return_tensors="pt", verbose=False)
        encoder(tokenizer([LONG[:10]], return_tensors="pt").input_ids)

    assert unread(cut_ids) == {"text_encoder": length(LONG) - 9}
    assert unread(cut_text) == {"text_encoder": length(LONG) - length(LONG[:10])}


def test_what_is_cut_behind_the_encoder_is_not_read() -> None:
    def read(tokenizer: Any, encoder: Any, unet: Any) -> None:
        encoder(tokenizer(LONG, return_tensors="pt", verbose=False).input_ids)
        unet(torch.zeros(1, 4, 8, 8), 1, encoder_hidden_states=torch.zeros(1, 9, 32))

    assert unread(read, limit=9) == {"text_encoder": length(LONG) - 9}
    assert unread(read, limit=None) == {}


def test_one_encoder_reads_on_where_another_stops() -> None:
    _, tokenizer = toys.build_text()
    short, full = Encoder(), Encoder()
    components = {"tokenizer": tokenizer, "text_encoder": short, "text_encoder_2": full}
    with ReadingRecorder(SimpleNamespace(components=components)) as reading:
        short(tokenizer([LONG], truncation=True, return_tensors="pt").input_ids)
        full(tokenizer([LONG], truncation=False, return_tensors="pt", verbose=False).input_ids)
    (found,) = reading.unread([GenerationRequest(prompt=LONG, seed=0)])
    assert found == {"text_encoder": length(LONG) - 14, "text_encoder_2": 0}
