"""The page, built with Gradio: its fields, and what happens when they are used."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from gandiff.common.errors import GandiffError
from gandiff.common.words import counted
from gandiff.experiments.studio.cards import cards_page, heading, picture_html, status
from gandiff.experiments.studio.form import Form, read_form
from gandiff.experiments.studio.pictures import CANVAS, fitted, read_picture
from gandiff.experiments.studio.studio import Card, Studio
from gandiff.experiments.studio.tab import Tab, progress
from gandiff.models.generator import Task
from gandiff.models.tasks import SOURCES
from gandiff.models.weights import shipped_names

TASKS: Mapping[Task, str] = {
    "text_to_image": "Draw a new picture",
    "image_to_image": "Change a picture",
    "inpaint": "Change it inside a mask",
    "paint": "Paint with a GAN's units",
    "control": "Follow an outline",
}
# Settings of models that have a slider: its label, from, to, and steps.
SLIDERS: Mapping[str, tuple[str, float, float, float]] = {
    "truncation_psi": ("Truncation (1 is none; less is more typical)", 0, 2, 0.05),
    "num_inference_steps": ("Steps from noise to picture", 1, 100, 1),
    "guidance_scale": ("Guidance (how strongly the prompt pulls)", 0, 20, 0.5),
}
COPY = """element.addEventListener('click', event => {
  const button = event.target.closest('button.copy');
  if (!button) return;
  navigator.clipboard.writeText(button.dataset.command).then(() => {
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = 'Copy the command'; }, 1500);
  });
});"""


class Page:
    """The components of the page, and what they do."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.sliders: dict[tuple[str, str], Any] = {}  # by model and setting

    def build(self) -> gr.Blocks:
        """Lay the page out: fields beside results, above them where it is narrow."""
        with gr.Blocks(title="gandiff studio", analytics_enabled=False) as blocks:
            self.tab = gr.State(Tab())
            gr.HTML(heading(Path.cwd()))
            with gr.Row():
                with gr.Column(scale=2, min_width=320):
                    self._fields()
                with gr.Column(scale=3, min_width=320):
                    self.status = gr.HTML(status("Nothing is drawn yet."), elem_id="status")
                    self.results = gr.HTML(elem_id="results", js_on_load=COPY)
            self._events()
        return blocks.queue(api_open=False, default_concurrency_limit=8)

    def _fields(self) -> None:
        self.prompt = gr.Textbox(label="Prompt", value="a red star", max_lines=4, elem_id="prompt")
        self.task = gr.Radio(
            [(label, task) for task, label in TASKS.items()],
            value="text_to_image",
            label="What to do",
            elem_id="task",
        )
        self._edit_fields()
        self.seeds = gr.Textbox(
            label="Seeds", value="0", info="A picture for each, such as 3, or 5-8", elem_id="seeds"
        )
        with gr.Row(elem_id="buttons"):
            self.go = gr.Button("Draw", variant="primary", elem_id="go", min_width=120)
            self.stop = gr.Button("Stop", elem_id="stop", min_width=120)
        self._settings()

    def _edit_fields(self) -> None:
        with gr.Column(visible=False) as self.given:
            self.upload = gr.File(
                label="Picture to change", file_types=["image"], elem_id="init", height=120
            )
            self.drawn = gr.Dropdown([], label="Or one that was drawn here", elem_id="drawn")
            self.before = gr.HTML(elem_id="before")
        with gr.Column(visible=False) as self.inside:
            self._mask_fields()
        with gr.Column(visible=False) as self.painting:
            self.units = gr.Textbox(
                label="Units",
                info="Such as blue ring, 16:5, or -star for off; none: those of the model's "
                "settings, or else what the prompt says",
                elem_id="units",
            )
        with gr.Column(visible=False) as self.following:
            self._outline_fields()
        self.strength = gr.Slider(
            0,
            1,
            0,
            step=0.05,
            label="Strength (how far to go; 0 leaves it to the model)",
            visible=False,
        )

    def _mask_fields(self) -> None:
        side = self._studio.side
        self.canvas = gr.ImageEditor(
            label="Mask",
            image_mode="RGBA",
            sources=(),
            transforms=(),
            layers=False,
            brush=gr.Brush(default_size=48, colors=["#ff2fd0"], color_mode="fixed"),
            canvas_size=(CANVAS, CANVAS),
            height=360,
            elem_id="canvas",
        )
        self.region = gr.Textbox(
            label="Or a region, in numbers",
            info=f"Left, top, width, height in px of {side} x {side}; it may change there and "
            "where it is painted on",
            elem_id="region",
        )

    def _outline_fields(self) -> None:
        self.outline = gr.File(
            label="Outline to follow", file_types=["image"], elem_id="outline", height=120
        )
        self.lines = gr.HTML(elem_id="lines")
        names = shipped_names(controlnets=True)
        outlines = (name for name in names if "outline" in name)
        self.controlnet = gr.Dropdown(
            names,
            value=next(outlines, None),
            allow_custom_value=True,
            label="ControlNet of diffusion models that have none of their own",
        )

    def _settings(self) -> None:
        for model, info in self._studio.infos.items():
            known: dict[str, Any] = {n: v for n in SLIDERS if _is_number(v := info.settings.get(n))}
            with gr.Accordion(f"Settings of {model}", visible=bool(known)):
                for name, value in known.items():
                    label, least, most, step = SLIDERS[name]
                    self.sliders[model, name] = gr.Slider(
                        least, max(most, value), value, step=step, label=label
                    )
        self.moments = gr.Slider(
            0, 8, 5, step=1, label="Moments of the way from noise to show", elem_id="moments"
        )

    def _events(self) -> None:
        groups = [self.given, self.inside, self.painting, self.following]
        shown = [*groups, self.before, self.strength]
        self.task.change(_visible, self.task, shown, queue=False, show_progress="hidden")
        to_change = [self.tab, self.canvas, self.before, self.status]
        quick: dict[str, Any] = {"show_progress": "hidden"}
        self.upload.upload(self._bring, [self.upload, self.tab], to_change, **quick)
        self.drawn.input(self._choose, [self.drawn, self.tab], to_change, **quick)
        to_follow = [self.tab, self.lines, self.status]
        self.outline.upload(self._follow, [self.outline, self.tab], to_follow, **quick)
        fields = {self.tab, self.prompt, self.task, self.seeds, self.canvas, self.region}
        fields |= {self.units, self.controlnet, self.strength, self.moments}
        drawing = gr.on(
            [self.go.click, self.prompt.submit],
            self._draw,
            fields | set(self.sliders.values()),
            [self.status, self.results, self.tab, self.drawn],
            show_progress="hidden",
            scroll_to_output=True,
        )
        self.stop.click(
            lambda: status("Stopped; what was drawn is kept."),
            outputs=self.status,
            cancels=[drawing],
            queue=False,
        )

    def _bring(self, file: str | None, tab: Tab) -> list[Any]:
        """Take the picture of a file as the one to change."""
        if file is None:
            return [gr.skip()] * 4
        try:
            pixels = fitted(read_picture("init_image", file), self._studio.side)
        except GandiffError as error:
            return [*[gr.skip()] * 3, status(str(error), wrong=True)]
        shown = picture_html(pixels, "the picture to change")
        return [
            dataclasses.replace(tab, init=Path(file)),
            fitted(pixels, CANVAS),
            shown,
            status("The picture is there: say what to draw, and where."),
        ]

    def _choose(self, label: str | None, tab: Tab) -> list[Any]:
        path = tab.drawn.get(label or "")
        return self._bring(None if path is None else str(path), tab)

    def _follow(self, file: str | None, tab: Tab) -> list[Any]:
        """Take the picture of a file as the outline."""
        if file is None:
            return [gr.skip()] * 3
        try:
            pixels = fitted(read_picture("control_image", file), self._studio.side)
        except GandiffError as error:
            return [gr.skip(), gr.skip(), status(str(error), wrong=True)]
        shown = picture_html(pixels, "the outline to follow")
        return [
            dataclasses.replace(tab, control=Path(file)),
            shown,
            status("The outline is there."),
        ]

    def _form(self, said: Mapping[Any, Any]) -> Form:
        settings: dict[str, dict[str, Any]] = {model: {} for model in self._studio.infos}
        for (model, name), slider in self.sliders.items():
            settings[model][name] = said[slider]
        task, tab, canvas = said[self.task], said[self.tab], said[self.canvas]
        for model, info in self._studio.infos.items():
            takes_one = info.settings.get("controlnet", False) is None
            lacks_one = task == "control" and "control" not in info.abilities
            if takes_one and lacks_one and said[self.controlnet]:
                settings[model]["controlnet"] = said[self.controlnet]
        return Form(
            task=task,
            prompt=said[self.prompt],
            seeds=said[self.seeds],
            settings=settings,
            moments=int(said[self.moments]),
            init=tab.init,
            control=tab.control,
            strokes=canvas["layers"] if canvas else (),
            region=said[self.region],
            strength=said[self.strength],
            units=said[self.units],
        )

    def _draw(self, said: Mapping[Any, Any]) -> Iterator[dict[Any, Any]]:
        """Draw what the page asks for, showing every picture once it is there."""
        try:
            form = self._form(said)
            orders = read_form(form, self._studio)
        except GandiffError as error:
            yield {self.status: status(str(error), wrong=True)}
            return
        cards, tab = list[Card](), said[self.tab]
        yield {self.status: status(f"Drawing {counted(len(orders), 'picture')} ...")}
        for card in self._studio.draw(orders):
            cards.append(card)
            tab = tab.with_card(card)
            wrong = all(one.path is None for one in cards)
            yield {
                self.status: status(progress(cards, len(orders)), wrong=wrong),
                self.results: cards_page(cards),
                self.tab: tab,
                self.drawn: gr.update(choices=list(tab.drawn)),
            }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _visible(task: Task) -> list[Any]:
    """What is shown for a task: the picture, the mask, units, the outline, and so on."""
    sources = SOURCES[task]
    each = [
        "init_image" in sources,
        "mask" in sources,
        task == "paint",
        task == "control",
        "mask" not in sources,  # where the canvas shows the picture, it is shown once
        "init_image" in sources,
    ]
    return [gr.update(visible=one) for one in each]
