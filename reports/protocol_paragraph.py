"""The protocol of a run as a paragraph for a paper: all that a reviewer asks about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gandiff.common.words import counted
from gandiff.evaluate.result import MetricResult, split_metric
from gandiff.reports.comparing import lookup
from gandiff.reports.facts import family_name, making_commands, timing_shared, timing_threads
from gandiff.reports.origins import Origins, is_made_elsewhere
from gandiff.reports.run_data import GeneratorFacts, RunData
from gandiff.reports.sentence import listed
from gandiff.reports.training_sentences import TrainingCost
from gandiff.reports.values import show_count, show_duration, visible

_SETTINGS = {  # of a generator, in the words of papers
    "scheduler": "solver {}",
    "scheduler_options": "solver options {}",
    "num_inference_steps": "{} steps",
    "guidance_scale": "guidance scale {}",
    "truncation_psi": "truncation psi {}",
    "negative_prompt": "negative prompt {!r}",
    "height": "height {} px",
    "width": "width {} px",
    "extra": "further arguments {}",
    "revision": "revision {}",
    "variant": "variant {}",
}
_FEATURES = {
    "weights": "weights {}",
    "weights_sha256": "weights sha256 {}",
    "resize": "resize {}",
    "crop": "crop {}",
    "alpha": "transparency {}",
}
_ESTIMATES = {
    "kernel": "kernel {}",
    "estimator": "{}",
    "nearest_k": "k = {}",
    "interval": "{}",
}
_NAMES = {"gandiff", "torch", "diffusers", "transformers", "numpy"}
_HASH = 12  # letters of a sha256 that a sentence shows
_LATENCY = "latency_seconds"
MADE_BY, THEN = "Made by:", "; then "


def protocol_paragraph(run: RunData) -> str:
    """What was compared on what, how each number came about, where, and by which commands."""
    if not run.generators:
        return ""
    return f"{protocol_prose(run)} {MADE_BY} {THEN.join(map(visible, making_commands(run)))}."


def protocol_prose(run: RunData) -> str:
    """The paragraph without the commands; what is not known of a run of an earlier version is left
    out or said to be unknown.
    """
    parts = (_prompts, _generators, _training, _making, _metrics, _speed, _differences, _software)
    return visible(" ".join(sentence for part in parts for sentence in part(run)))


def _prompts(run: RunData) -> Iterator[str]:
    suite, comparison = run.record.suite, run.record.comparison
    prompts, samples = suite.prompts or len(run.prompts), comparison.get("samples_per_prompt")
    name = f" of the suite {suite.name}" if suite.name else ""
    version = f", version {suite.version}" if suite.name and suite.version else ""
    sha = f" (sha256 {suite.sha256[:_HASH]})" if suite.sha256 else ""
    each = f", {counted(samples, 'image')} each" if isinstance(samples, int) else ""
    names = [name for name in run.generators if name not in _kept(run)]
    yield (
        f"We compare {counted(len(names), 'generator')} on "
        f"{counted(prompts, 'prompt')}{name}{version}{sha}{each}."
    )
    task, strength = comparison.get("task", "text_to_image"), comparison.get("strength")
    if task != "text_to_image":
        how = f", with strength {strength:g} where a prompt has none of its own" if strength else ""
        yield f"The task is {task}, on the pictures that the prompts bring along{how}."


def _kept(run: RunData) -> set[str]:
    """Generators of before a change, which nobody can run again."""
    return {name for name, plan in run.record.plan.generators.items() if plan.kept_from}


def _generators(run: RunData) -> Iterator[str]:
    for name, facts in run.generators.items():
        traits = [family_name(facts)]
        if facts.parameters:
            traits.append(f"{show_count(facts.parameters)} parameters")
        if facts.info.get("resolution"):
            traits.append(f"{facts.info['resolution']} px")
        traits += _settings(facts)
        if facts.weights_sha256:
            traits.append(f"weights sha256 {facts.weights_sha256[:_HASH]}")
        did = "has" if is_made_elsewhere(facts) else "made"
        of = f" {did} {facts.ok:,} of {counted(facts.planned, 'image')}" if facts.planned else ""
        yield f"{name} ({', '.join(traits)}){of or ' has images'}."


def _settings(facts: GeneratorFacts) -> Iterator[str]:
    """The settings that decide an image, as they were given or as its makers say."""
    settings = dict(facts.info.get("settings") or {})
    resolved = settings.get("resolved")
    sent = resolved.get("sent") if isinstance(resolved, Mapping) else None
    known = {**(sent if isinstance(sent, Mapping) else {}), **_given(settings)}
    if "scheduler" not in known and known.get("scheduler_class"):
        known["scheduler"] = known["scheduler_class"]
    for key, words in _SETTINGS.items():
        if known.get(key) not in (None, ""):
            yield words.format(known[key])


def _given(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if value not in (None, "", {}, [])}


def _making(run: RunData) -> Iterator[str]:
    machine, comparison = run.record.environment, run.record.comparison
    origins, seed = Origins.of(run), comparison.get("seed")
    if origins.elsewhere:
        yield f"The images of {listed(origins.elsewhere)} were made elsewhere."
    if seed is not None and origins.seeded:
        yield (
            f"The seed of an image follows from the run seed {seed}, its prompt and its sample "
            "number, so it is the same for all generators that take seeds."
        )
    if not origins.made:
        return
    of = f" of {listed(origins.made)}" if origins.elsewhere else ""
    device = machine.device_name or machine.cpu
    where = f"{machine.device or 'an unknown device'}{f' ({device})' if device else ''}"
    driver = f", driver {machine.driver}" if machine.driver else ""
    dtype = comparison.get("dtype")
    number = f" in {dtype}" if dtype else ""
    size = comparison.get("batch_size")
    batch = f", in batches of {size}" if size else ""
    yield f"Images{of} were generated on {where}{driver}{number}{batch}."


def _training(run: RunData) -> Iterator[str]:
    """What each training took; of models of others that is often not known."""
    index, said = lookup(run.results), []
    for name, facts in run.generators.items():
        cost = TrainingCost.of(index, facts)
        images = f", {show_count(cost.images)} images" if cost.images else ""
        on = f" on {cost.on}" if cost.on else ""
        took = (
            f"{show_duration(cost.seconds)}{on}{images}" if cost.seconds else f"not known{images}"
        )
        said.append(f"{name}: {took}")
    yield f"Training ({'; '.join(said)})."


def _metrics(run: RunData) -> Iterator[str]:
    """A sentence for all metrics on the same images, references and features."""
    by_spec: dict[str, list[MetricResult]] = {}
    for row in run.results:
        if row.result.described.axis != "cost" and row.result.value is not None:
            by_spec.setdefault(row.result.metric.partition("/")[0], []).append(row.result)
    alike: dict[str, list[str]] = {}
    for results in by_spec.values():
        alike.setdefault(_basis(results), []).append(_estimate(results))
    for basis, estimates in alike.items():
        yield f"On {basis}: {'; '.join(estimates)}."


def _basis(results: Sequence[MetricResult]) -> str:
    """Images, reference and features."""
    protocol = results[0].protocol
    real = _range("reference image", [r.references for r in results])
    sha = protocol.get("reference_sha256")
    parts = [
        _range("image", [r.images for r in results]) or "an unknown number of images",
        f"{real} (sha256 {str(sha)[:_HASH]})" if real and sha else real,
    ]
    if encoder := protocol.get("encoder"):
        model = f" {protocol['model']}" if protocol.get("model") else ""
        parts.append(f"features of {encoder}{model}{_in_brackets(protocol, _FEATURES)}")
    elif judge := protocol.get("judge"):
        parts.append(f"judge {judge}{_in_brackets(protocol, _FEATURES)}")
        if other := protocol.get("other_judge"):
            sha = protocol.get("other_sha256")
            weights = f" (weights sha256 {str(sha)[:_HASH]})" if sha else ""
            parts.append(f"beside it judge {other}{weights}")
    return ", ".join(filter(None, parts))


def _estimate(results: Sequence[MetricResult]) -> str:
    """The name, how it is estimated, and what its intervals are."""
    first = results[0]
    base, _, part = split_metric(first.metric)
    of_all = {result.described.label.partition(", ")[0] for result in results}
    shared = of_all.pop() if len(of_all) == 1 else base.replace("_", " ")
    label = first.described.label if part in ("", "all") else shared
    ways = dict.fromkeys(str(r.protocol.get("interval") or "none") for r in results)
    how = {**first.protocol, "interval": f"95 % intervals: {'; '.join(ways)}"}
    return f"{label}{_in_brackets(how, _ESTIMATES)}"


def _in_brackets(protocol: Mapping[str, Any], words: Mapping[str, str]) -> str:
    known = (
        said.format(str(protocol[key])[:_HASH] if key.endswith("sha256") else protocol[key])
        for key, said in words.items()
        if protocol.get(key) not in (None, "", "none")
    )
    shown = ", ".join(known)
    return f" ({shown})" if shown else ""


def _range(noun: str, counts: Sequence[int | None]) -> str:
    known = sorted({count for count in counts if count})
    if len(known) > 1:
        return f"{known[0]:,} to {counted(known[-1], noun)}"
    return counted(known[0], noun) if known else ""


def _speed(run: RunData) -> Iterator[str]:
    timed = [r for r in run.results if r.result.metric == _LATENCY and r.result.value]
    if not timed:
        return
    said = [row.result.protocol for row in timed]
    rounds = _range("round", [len(one.get("rounds") or ()) for one in said])
    own = all(one.get("own_process") for one in said)
    turns = f" in {rounds}{' of fresh processes' if own else ''}" if rounds else ""
    middle = "geometric mean of the rounds' medians" if rounds else "median"
    yield (
        f"Time per image is the {middle} at batch size {said[0].get('batch_size', 1)}{turns}"
        "; images per second are at the fastest batch size."
    )
    calls = [(row.generator, _calls(row.result.protocol)) for row in timed]
    if counts := [f"{name} {count}" for name, count in calls if count]:
        yield f"Timed calls at that batch size: {'; '.join(counts)}."
    threads = timing_threads(run) or "not recorded"
    shared = timing_shared(run) or "not recorded"
    yield f"CPU threads: {threads}. Cores shared with other work: {shared}."


def _calls(protocol: Mapping[str, Any]) -> str:
    """How often a generator was called in all rounds; earlier versions noted no warm-up."""
    timed, warm = protocol.get("calls") or protocol.get("repeats"), protocol.get("warmup_calls")
    warmed = f" after {warm:,} to warm up" if warm else ""
    return f"{timed:,}{warmed}" if timed else ""


def _differences(run: RunData) -> Iterator[str]:
    paired = [row for row in run.differences if row.prompts]
    if paired:
        yield (
            "Generators are compared on the same prompts by the 95 % interval of the paired "
            "difference, for means widened to 0 unless a sign-flip test has p below 0.05; "
            "p values, and not intervals, are corrected for the number of pairs by "
            "Holm's method."
        )


def _software(run: RunData) -> Iterator[str]:
    machine = run.record.environment
    packages = [f"{name} {v}" for name, v in machine.packages.items() if name in _NAMES]
    python = [f"Python {machine.python}"] if machine.python else []
    git = machine.git or {}
    commit = f", commit {str(git['commit'])[:_HASH]}" if git.get("commit") else ""
    dirty = " with uncommitted changes" if commit and git.get("dirty") else ""
    if packages or python:
        yield f"Software: {listed([*packages, *python])}{commit}{dirty}."
