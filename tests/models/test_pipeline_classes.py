"""Which pipelines make images from text is decided for every class of diffusers, and reviewed."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from gandiff.models.diffusion.class_source import Argument
from gandiff.models.diffusion.classes import (
    PipelineClass,
    called_class,
    pipeline_class,
    task_problem,
)

# Each was looked at by hand; a star stands for "Pipeline". A diffusers with other classes fails the
# test below with their names and what is decided for them, to be looked at, too.
TEXT_TO_IMAGE = """
AltDiffusion* Amused* AuraFlow* BriaFibo2* BriaFibo* Bria* Chroma* CogView3Plus* CogView4*
Cosmos2TextToImage* DreamLiteMobile* DreamLite* ErnieImage* Flux2KleinKV* Flux2Klein*
Flux2* FluxKontext* Flux* GlmImage* HiDreamImage* HunyuanDiTPAG* HunyuanDiT* HunyuanImage*
IF* Ideogram4* Kandinsky3* Kandinsky5T2I* KandinskyCombined* KandinskyV22Combined*
KolorsPAG* Kolors* Krea2* LDMTextToImage* LatentConsistencyModel* LongCatImage* Lumina2*
Lumina* NucleusMoEImage* OmniGen* OvisImage* PRX* PRXPixel* PixArtAlpha* PixArtSigmaPAG*
PixArtSigma* QwenImage21* QwenImage* SanaPAG* Sana* SanaSprint* SemanticStableDiffusion*
StableCascadeCombined* StableDiffusion3PAG* StableDiffusion3* StableDiffusionModelEditing*
StableDiffusionPAG* StableDiffusionPanorama* StableDiffusionParadigms* StableDiffusion*
StableDiffusion*Safe StableDiffusionSAG* StableDiffusionXLPAG* StableDiffusionXL*
StableUnCLIP* UnCLIP* UniDiffuser* VQDiffusion* VersatileDiffusionTextToImage*
WuerstchenCombined* ZImageOmni* ZImage*
"""
# Saved as the first, called as the second.
CALLED = """
AltDiffusionImg2Img*>AltDiffusion* AmusedImg2Img*>Amused* ChromaImg2Img*>Chroma*
FluxImg2Img*>Flux* IFImg2Img*>IF* Kandinsky3Img2Img*>Kandinsky3*
KandinskyImg2ImgCombined*>KandinskyCombined* KandinskyImg2Img*>KandinskyCombined*
Kandinsky*>KandinskyCombined* KandinskyV22Img2ImgCombined*>KandinskyV22Combined*
KandinskyV22Img2Img*>KandinskyV22Combined* KandinskyV22*>KandinskyV22Combined*
KolorsImg2Img*>Kolors* LatentConsistencyModelImg2Img*>LatentConsistencyModel*
QwenImageImg2Img*>QwenImage* SanaSprintImg2Img*>SanaSprint*
StableCascadeDecoder*>StableCascadeCombined* StableDiffusion3Img2Img*>StableDiffusion3*
StableDiffusion3PAGImg2Img*>StableDiffusion3PAG* StableDiffusionImg2Img*>StableDiffusion*
StableDiffusionPAGImg2Img*>StableDiffusionPAG*
StableDiffusionXLImg2Img*>StableDiffusionXL*
StableDiffusionXLPAGImg2Img*>StableDiffusionXLPAG* StableUnCLIPImg2Img*>StableUnCLIP*
WuerstchenDecoder*>WuerstchenCombined* ZImageImg2Img*>ZImage*
"""
REFUSED = {
    "edits an image": """
BriaFiboEdit* CycleDiffusion* JoyImageEdit* JoyImageEditPlus* LongCatImageEdit*
QwenImageEdit* QwenImageEditPlus* StableDiffusionDiffEdit* StableDiffusionInstructPix2Pix*
StableDiffusionPix2PixZero* StableDiffusionXLInstructPix2Pix*
""",
    "enlarges an image": """
IFImg2ImgSuperResolution* IFSuperResolution* LDMSuperResolution*
OnnxStableDiffusionUpscale* StableDiffusionLatentUpscale* StableDiffusionUpscale*
""",
    "fills a masked part of an image": """
AmusedInpaint* ChromaInpaint* Flux2KleinInpaint* FluxControlInpaint*
FluxControlNetInpaint* FluxFill* FluxInpaint* FluxKontextInpaint* IFInpainting*
IFInpaintingSuperResolution* KandinskyInpaintCombined* KandinskyInpaint*
KandinskyV22InpaintCombined* KandinskyV22Inpaint* OnnxStableDiffusionInpaint*
OnnxStableDiffusionInpaint*Legacy PaintByExample* QwenImageControlNetInpaint*
QwenImageEditInpaint* QwenImageInpaint* StableDiffusion3ControlNetInpainting*
StableDiffusion3Inpaint* StableDiffusionControlNetInpaint*
StableDiffusionControlNetPAGInpaint* StableDiffusionInpaint* StableDiffusionInpaint*Legacy
StableDiffusionPAGInpaint* StableDiffusionXLControlNetInpaint*
StableDiffusionXLControlNetUnionInpaint* StableDiffusionXLInpaint*
StableDiffusionXLPAGInpaint* ZImageControlNetInpaint* ZImageInpaint*
""",
    "makes embeddings, half of the way to an image": """
FluxPriorRedux*
""",
    "makes image embeddings, half of the way to an image": """
KandinskyPrior* KandinskyV22PriorEmb2Emb* KandinskyV22Prior* StableCascadePrior*
WuerstchenPrior*
""",
    "makes images with their depth": """
StableDiffusionLDM3D*
""",
    "makes sound": """
AceStep* AudioDiffusion* AudioLDM2* AudioLDM* DanceDiffusion* LongCatAudioDiT* MusicLDM*
SpectrogramDiffusion* StableAudio3AudioToAudio* StableAudio3Inpaint* StableAudio3*
StableAudio*
""",
    "makes three-dimensional shapes": """
ShapEImg2Img* ShapE*
""",
    "makes videos": """
Allegro* AnimateDiffControlNet* AnimateDiffPAG* AnimateDiff* AnimateDiffSDXL*
AnimateDiffSparseControlNet* AnimateDiffVideoToVideoControlNet* AnimateDiffVideoToVideo*
AnyFlowFAR* AnyFlow* ChronoEdit* CogVideoXFunControl* CogVideoXImageToVideo* CogVideoX*
CogVideoXVideoToVideo* ConsisID* Cosmos2VideoToWorld* Cosmos2_5_PredictBase*
Cosmos2_5_Transfer* Cosmos3Omni* CosmosTextToWorld* CosmosVideoToWorld*
EasyAnimateControl* EasyAnimateInpaint* EasyAnimate* Helios* HeliosPyramid*
HunyuanSkyreelsImageToVideo* HunyuanVideo15ImageToVideo* HunyuanVideo15*
HunyuanVideoFramepack* HunyuanVideoImageToVideo* HunyuanVideo* I2VGenXL* Kandinsky5I2V*
Kandinsky5T2V* Kandinsky6SR* Kandinsky6TI2VA* LTX2Condition* LTX2DFR*
LTX2DFRTemporalRefine* LTX2HDR* LTX2ImageToVideo* LTX2InContext* LTX2LatentUpsample* LTX2*
LTX2VideoDiffusionDecode* LTXCondition* LTXI2VLongMultiPrompt* LTXImageToVideo*
LTXLatentUpsample* LTX* Latte* LucyEdit* Mochi* MotifVideoImage2Video* MotifVideo* PIA*
SanaImageToVideo* SanaVideo* SanaWM* SkyReelsV2DiffusionForcingImageToVideo*
SkyReelsV2DiffusionForcing* SkyReelsV2DiffusionForcingVideoToVideo*
SkyReelsV2ImageToVideo* SkyReelsV2* StableVideoDiffusion* TextToVideoSD* TextToVideoZero*
TextToVideoZeroSDXL* VideoToVideoSD* WanAnimate* WanImageToVideo* Wan* WanVACE*
WanVideoToVideo*
""",
    "measures an image": """
MarigoldDepth* MarigoldIntrinsics* MarigoldNormals*
""",
    "needs 'image'": """
Kandinsky5I2I* RePaint* VersatileDiffusionDualGuided*
""",
    "needs 'padding_mask'": """
RFD4Proteina*
""",
    "needs 'token_indices'": """
StableDiffusionAttendAndExcite*
""",
    "needs a control image": """
BlipDiffusionControlNet* CogView4Control* FluxControlImg2Img* FluxControlNetImg2Img*
FluxControlNet* FluxControl* HunyuanDiTControlNet* KandinskyV22ControlnetImg2Img*
KandinskyV22Controlnet* QwenImageControlNet* SanaControlNet* StableDiffusion3ControlNet*
StableDiffusionAdapter* StableDiffusionControlNetImg2Img* StableDiffusionControlNetPAG*
StableDiffusionControlNet* StableDiffusionControlNetXS* StableDiffusionXLAdapter*
StableDiffusionXLControlNetImg2Img* StableDiffusionXLControlNetPAGImg2Img*
StableDiffusionXLControlNetPAG* StableDiffusionXLControlNet*
StableDiffusionXLControlNetUnionImg2Img* StableDiffusionXLControlNetUnion*
StableDiffusionXLControlNetXS* ZImageControlNet*
""",
    "needs a layout": """
StableDiffusionGLIGEN* StableDiffusionGLIGENTextImage*
""",
    "needs an image of its subject": """
BlipDiffusion*
""",
    "redraws an image with its depth": """
StableDiffusionDepth2Img*
""",
    "refines an image": """
HunyuanImageRefiner*
""",
    "runs in ONNX Runtime, not in PyTorch": """
OnnxStableDiffusionImg2Img* OnnxStableDiffusion* StableDiffusionOnnx*
""",
    "splits an image into layers": """
QwenImageLayered*
""",
    "takes no prompt": """
ConsistencyModel* DDIM* DDPM* DiT* KarrasVe* LDM* LEditsPP*StableDiffusion
LEditsPP*StableDiffusionXL PNDM* ScoreSdeVe* UnCLIPImageVariation* VersatileDiffusion*
VisualClozeGeneration* VisualCloze*
""",
    "varies an image": """
StableDiffusionImageVariation* VersatileDiffusionImageVariation*
""",
    "writes text": """
DiffusionGemma* LLaDA2*
""",
}


def every_class() -> set[str]:
    import diffusers

    names = {*dir(diffusers), *dir(diffusers.pipelines)}
    return {name for name in names if "Pipeline" in name and not name.startswith("Auto")} - {
        "DiffusionPipeline"
    }


def reviewed() -> dict[str, tuple[str, str | None]]:
    """What is called and what stands against it, by the class that was saved."""
    decisions: dict[str, tuple[str, str | None]] = {}
    for name in TEXT_TO_IMAGE.split():
        decisions[name] = name, None
    for pair in CALLED.split():
        saved, _, called = pair.partition(">")
        decisions[saved] = called, None
    for problem, names in REFUSED.items():
        for name in names.split():
            decisions[name] = "", problem
    spelled = {k.replace("*", "Pipeline"): v for k, v in decisions.items()}
    return {name: (c.replace("*", "Pipeline"), problem) for name, (c, problem) in spelled.items()}


def test_every_class_of_diffusers_is_decided_as_reviewed() -> None:
    decided = {}
    for name in every_class():
        if pipeline_class(name) is None:  # modular pipelines, outputs, blocks
            continue
        called = called_class(name)
        known = pipeline_class(called)
        assert known is not None
        problem = task_problem(known)
        decided[name] = ("" if problem else called, problem)
    assert len(decided) > 250
    expected = {name: one for name, one in reviewed().items() if name in decided}
    assert decided == expected


def test_no_pipeline_class_is_overlooked() -> None:
    unknown = {name for name in every_class() if pipeline_class(name) is None}
    other = ("Modular", "Output", "Blocks", "PipelineQuantizationConfig")
    assert {name for name in unknown if not any(word in name for word in other)} == set()


@pytest.mark.parametrize(
    "name",
    [
        "StableDiffusionPipeline",
        "FluxPipeline",
        "Flux2KleinKVPipeline",
        "WuerstchenCombinedPipeline",
    ],
)
def test_the_source_says_what_the_class_does(name: str) -> None:
    import diffusers

    real = inspect.signature(getattr(diffusers, name).__call__).parameters
    real = {k: p for k, p in real.items() if k != "self" and p.kind is not p.VAR_KEYWORD}
    known = pipeline_class(name)
    assert known is not None
    assert list(known.arguments) == list(real)
    for key, argument in known.arguments.items():
        assert argument.required == (real[key].default is inspect.Parameter.empty)
        if isinstance(real[key].default, int | float | str | bool):
            assert argument.default == real[key].default
    parts = inspect.signature(getattr(diffusers, name).__init__).parameters
    assert [*known.parts] == [part for part in parts if part != "self"]


def test_img2img_that_has_other_parts_is_not_taken_for_text_to_image() -> None:
    saved = ["feature_extractor", "image_encoder", "unet", "vae", "scheduler", "tokenizer"]
    assert called_class("StableUnCLIPImg2ImgPipeline", saved) == "StableUnCLIPImg2ImgPipeline"


def test_an_argument_that_extra_gives_is_not_missing() -> None:
    known = pipeline_class("StableDiffusionAttendAndExcitePipeline")
    assert known is not None
    assert task_problem(known) == "needs 'token_indices'"
    assert task_problem(known, ["token_indices"]) is None


def test_an_input_whose_default_it_does_not_take_is_needed() -> None:
    prompt = Argument(annotation="str", default=None, required=True)
    image = Argument(annotation="PipelineImageInput", default=None, required=False)
    known = PipelineClass(
        name="NewPipeline",
        arguments={"prompt": prompt, "image": image},
        parts={},
        output=frozenset({"images"}),
    )
    assert task_problem(known) == "needs 'image'"
    optional = dataclasses.replace(image, annotation="PipelineImageInput | None")
    known = dataclasses.replace(known, arguments={"prompt": prompt, "image": optional})
    assert task_problem(known) is None
