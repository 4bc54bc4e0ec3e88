"""The procedural captioned data set: which scenes there are, and the truth about each.

A scene holds one or two objects on a plain background and is a pure function of its 64-bit seed.
The seed's range says which split it belongs to, so splits cannot overlap. Two objects of one scene
always differ in shape, so one canonical order, by shape, settles which is which: "a star left of a
ring" and "a ring right of a star" are the same facts. Rendering is in ``scenes.render``, wording in
``scenes.captions``, mismatched captions are in ``scenes.mismatches``.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int8, UInt64

SHAPES = ("circle", "square", "triangle", "star", "heart", "ring", "cross", "crescent")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
SIZES = ("small", "large")
BACKGROUNDS = ("white", "grey", "black", "sand")
RELATIONS = ("left of", "right of", "above", "below")
LABELS = {
    "shape": SHAPES,
    "colour": COLOURS,
    "size": SIZES,
    "background": BACKGROUNDS,
    "relation": RELATIONS,
}
INVERSE_RELATION = np.array([1, 0, 3, 2], dtype=np.int8)  # of RELATIONS, by index

# One (shape, colour) pair per shape and per colour never reaches a generator or its text encoder.
HELD_OUT_COLOUR = np.array(
    [(3 * shape + 1) % len(COLOURS) for shape in range(len(SHAPES))], dtype=np.int8
)
HELD_OUT_PAIRS = tuple((s, COLOURS[HELD_OUT_COLOUR[i]]) for i, s in enumerate(SHAPES))

P_TWO_OBJECTS = 0.5
RADIUS = (0.15, 0.235)  # of the side of the image, by SIZES
_SPLIT_BITS = 40
SPLITS = ("train", "validation", "test", "reference", "judge_train", "judge_validation")
_HELD_OUT_FLAG = np.uint64(1 << 50)  # seeds with this bit make scenes that contain a held-out pair


@dataclasses.dataclass(frozen=True)
class Scenes:
    """n scenes as arrays; slots beyond ``count`` hold -1. Slot 0 has the smaller shape index.

    ``centre`` (x right, y down) and ``radius`` are fractions of the image's side; the jitters are
    added to the colours, which are in 0..255.
    """

    count: Int8[np.ndarray, " n"]
    background: Int8[np.ndarray, " n"]
    shape: Int8[np.ndarray, "n 2"]
    colour: Int8[np.ndarray, "n 2"]
    size: Int8[np.ndarray, "n 2"]
    relation: Int8[np.ndarray, " n"]  # of slot 0 to slot 1; -1 for one object
    centre: Float32[np.ndarray, "n 2 2"]
    radius: Float32[np.ndarray, "n 2"]
    object_jitter: Float32[np.ndarray, "n 2 3"]
    background_jitter: Float32[np.ndarray, "n 3"]

    def __len__(self) -> int:
        """How many scenes."""
        return len(self.count)

    def __getitem__(self, index: object) -> Scenes:
        """Scenes at an index array or slice."""
        return Scenes(*(getattr(self, f.name)[index] for f in dataclasses.fields(self)))


def scene_seeds(
    split: str, start: int, count: int, *, held_out: bool = False
) -> UInt64[np.ndarray, " n"]:
    """Seeds ``start .. start + count`` of a split; ``held_out`` ones hold a held-out pair."""
    if split not in SPLITS:
        raise ValueError(f"no split named {split!r}; there are {', '.join(SPLITS)}")
    if not 0 <= start <= start + count <= 1 << _SPLIT_BITS:
        raise ValueError(
            f"a split has 2**{_SPLIT_BITS} seeds; asked for {start} to {start + count}"
        )
    base = SPLITS.index(split) << _SPLIT_BITS
    seeds = np.arange(base + start, base + start + count, dtype=np.uint64)
    return seeds | _HELD_OUT_FLAG if held_out else seeds


def uniform(
    seeds: UInt64[np.ndarray, " n"], stream: int, draws: int
) -> Float64[np.ndarray, "n draws"]:
    """Numbers in [0, 1) that depend on (seed, stream, index) alone: splitmix64, finalised twice."""
    counter = np.arange(draws, dtype=np.uint64) + np.uint64(1 + (stream << 16))
    with np.errstate(over="ignore"):
        mixed = _finalise(seeds[:, None] + np.uint64(0x9E3779B97F4A7C15) * np.uint64(stream + 1))
        mixed = _finalise(mixed + np.uint64(0x9E3779B97F4A7C15) * counter[None, :])
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _finalise(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def sample_scenes(seeds: UInt64[np.ndarray, " n"]) -> Scenes:
    """The scenes of these seeds; scene i depends on seed i alone."""
    u = uniform(seeds, 0, 32)
    count = (1 + (u[:, 0] < P_TWO_OBJECTS)).astype(np.int8)
    first = _pick(u[:, 2], len(SHAPES))
    second = (first + 1 + _pick(u[:, 3], len(SHAPES) - 1)) % len(SHAPES)
    shape = np.stack([first, second], 1).astype(np.int8)
    # Judges see every pair; everyone else sees the allowed ones.
    judges = (seeds & ~_HELD_OUT_FLAG) >> np.uint64(_SPLIT_BITS) >= SPLITS.index("judge_train")
    allowed = _pick(u[:, 4:6], len(COLOURS) - 1)
    allowed = allowed + (allowed >= HELD_OUT_COLOUR[shape])
    colour = np.where(judges[:, None], _pick(u[:, 4:6], len(COLOURS)), allowed).astype(np.int8)
    forced = np.where((count == 2) & (u[:, 10] < 0.5), 1, 0)  # which object holds the held-out pair
    rows = np.flatnonzero(seeds & _HELD_OUT_FLAG)
    colour[rows, forced[rows]] = HELD_OUT_COLOUR[shape[rows, forced[rows]]]
    size = _pick(u[:, 6:8], len(SIZES)).astype(np.int8)
    relation = _pick(u[:, 8], len(RELATIONS)).astype(np.int8)
    background = _pick(u[:, 1], len(BACKGROUNDS)).astype(np.int8)
    return assemble(count, background, shape, colour, size, relation, u[:, 12:32])


def held_out_objects(scenes: Scenes) -> Bool[np.ndarray, "n 2"]:
    """Which objects have the colour that is held out for their shape."""
    held_out = scenes.colour == HELD_OUT_COLOUR[np.maximum(scenes.shape, 0)]
    return np.asarray((scenes.shape >= 0) & held_out)


def _pick(u: np.ndarray, n: int) -> np.ndarray:
    return np.asarray((u * n).astype(np.int8))


def assemble(
    count: np.ndarray,
    background: np.ndarray,
    shape: np.ndarray,
    colour: np.ndarray,
    size: np.ndarray,
    relation: np.ndarray,
    u: Float64[np.ndarray, "n 20"],
) -> Scenes:
    """Put facts into canonical order and place the objects with the given uniform draws."""
    one = count == 1
    order = np.where((shape[:, 0] <= shape[:, 1]) | one, 0, 1)
    slots = np.stack([order, 1 - order], 1)
    shape, colour, size = (
        np.take_along_axis(a, slots, 1).astype(np.int8) for a in (shape, colour, size)
    )
    relation = np.where(order == 1, INVERSE_RELATION[relation], relation).astype(np.int8)
    radius = np.array(RADIUS, np.float32)[size] * (0.94 + 0.12 * u[:, 0:2])
    centre = _place(one, relation, radius, u[:, 2:6])
    blank = np.stack([np.zeros_like(one), one], 1)
    for array in (shape, colour, size):
        array[blank] = -1
    relation[one] = -1
    return Scenes(
        count.astype(np.int8),
        background.astype(np.int8),
        shape,
        colour,
        size,
        relation,
        centre.astype(np.float32),
        radius.astype(np.float32),
        ((u[:, 6:12] - 0.5) * 28).reshape(-1, 2, 3).astype(np.float32),
        ((u[:, 12:15] - 0.5) * 16).astype(np.float32),
    )


def _place(one: np.ndarray, relation: np.ndarray, radius: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Centres that keep objects inside, apart, and in their relation along the wider axis."""
    room = 1 - 2 * (radius + 0.02)
    anywhere = 0.5 + (u.reshape(-1, 2, 2) - 0.5) * room[:, :, None]
    # Two objects sit near a quarter and three quarters of one axis, close together on the other.
    along = np.where(np.isin(relation, (0, 2)), -1.0, 1.0)[:, None] * np.array([[0.245, -0.245]])
    along = 0.5 + along + (u[:, 0:2] - 0.5) * 0.03
    across = 0.5 + (u[:, 2:4] - 0.5) * np.minimum(0.3, room)
    horizontal = (relation < 2)[:, None]
    pair = np.stack([np.where(horizontal, along, across), np.where(horizontal, across, along)], -1)
    return np.where(one[:, None, None], anywhere, pair)


@dataclasses.dataclass(frozen=True)
class Facts:
    """What n captions state; -1 is unstated. Mentions are in canonical order.

    ``mentions`` is 1 or 2. One mention leaves open whether a second object is there, unless
    ``count`` says 1.
    """

    mentions: Int8[np.ndarray, " n"]
    count: Int8[np.ndarray, " n"]
    background: Int8[np.ndarray, " n"]
    shape: Int8[np.ndarray, "n 2"]
    colour: Int8[np.ndarray, "n 2"]
    size: Int8[np.ndarray, "n 2"]
    relation: Int8[np.ndarray, " n"]

    def __len__(self) -> int:
        """How many captions."""
        return len(self.mentions)

    def __getitem__(self, index: object) -> Facts:
        """Facts at an index array or slice."""
        return Facts(*(getattr(self, f.name)[index] for f in dataclasses.fields(self)))


def fits(facts: Facts, scenes: Scenes) -> np.ndarray:
    """Whether scene i is a right picture for caption i, as booleans (n,)."""
    ok = np.ones(len(facts), bool)
    for name in ("count", "background"):
        stated = getattr(facts, name)
        ok &= (stated < 0) | (stated == getattr(scenes, name))
    ok &= scenes.count >= facts.mentions
    for mention in range(2):
        asked = facts.mentions > mention
        slot = np.where(scenes.shape[:, 0] == facts.shape[:, mention], 0, 1)
        rows = np.arange(len(facts))
        ok &= ~asked | (scenes.shape[rows, slot] == facts.shape[:, mention])
        for name in ("colour", "size"):
            stated = getattr(facts, name)[:, mention]
            ok &= ~asked | (stated < 0) | (stated == getattr(scenes, name)[rows, slot])
    return np.asarray(ok & ((facts.relation < 0) | (facts.relation == scenes.relation)))
