"""The names that papers give to distances, where the protocol is theirs and only there; and what
kernel distances are multiplied by where they are written, which their names say.
"""

from __future__ import annotations

import dataclasses

from gandiff.evaluate.result import MetricResult, split_metric

_PUBLISHED = "fid-2015-12-05"  # the weights that published FIDs are computed with
_RESIZES = {  # whose numbers they are
    "legacy_tensorflow": "",
    "legacy_pytorch": " (pytorch-fid)",
    "clean": " (clean-fid)",
    "torchmetrics_antialias": " (torchmetrics)",
}
_LARGE = ("scenes", "scenes_b")  # encoders in whose features kernel distances are thousands
_CMMD_MODEL = "ViT-L-14-336/openai"
_KERNEL = "kernel distance"
_MEANINGS = {
    "FID": "Fréchet inception distance (Heusel et al. 2017): how far the made images as a whole "
    "are from the reference images, in the features of Inception-v3.",
    "KID": "Kernel inception distance (Binkowski et al. 2018) between made and reference images in "
    "the features of Inception-v3; unbiased, so it may be slightly below 0.",
}


def named_as_in_papers(result: MetricResult) -> MetricResult:
    """The result with the label that its protocol has in papers.

    FID and KID are on Inception-v3 with the weights of 2015, CMMD on CLIP ViT-L/14 at 336 px and
    biased; other distances of these kinds are called by what they are. KID is written times 1000,
    as papers have it, and kernel distances in the features of the scene classifiers, which are no
    unit vectors, in thousands; the value itself stays as it is.
    """
    name = _name(result)
    if name is None or result.about is None:
        return result
    meaning = _MEANINGS.get(name.partition(" ")[0], result.about.meaning)
    about = dataclasses.replace(result.about, label=name, meaning=meaning)
    if name.startswith("KID"):
        about = dataclasses.replace(about, label=f"{name} (\u00d7 1000)", scale="thousandths")
    elif name == _KERNEL and result.protocol.get("encoder") in _LARGE:
        about = dataclasses.replace(about, label=f"{name} (in thousands)", scale="thousands")
    return dataclasses.replace(result, about=about)


def _name(result: MetricResult) -> str | None:
    base, protocol = split_metric(result.metric)[0], result.protocol
    if base == "cmmd":
        theirs = protocol.get("model") == _CMMD_MODEL
        biased = str(protocol.get("estimator", "")).startswith("biased")
        return ("CMMD" if biased else "unbiased CMMD") if theirs else "CLIP kernel distance"
    if base not in ("fd", "kid"):
        return None
    how = _RESIZES.get(str(protocol.get("resize")))
    theirs = protocol.get("weights") == _PUBLISHED and how is not None
    if not theirs:
        return {"fd": "Fréchet distance", "kid": _KERNEL}[base]
    crop = ", centre crop" if protocol.get("crop") == "centre" else ""
    return f"{'FID' if base == 'fd' else 'KID'}{how}{crop}"
