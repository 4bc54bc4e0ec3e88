// What is in sight as text, each line of it with its box, element and colours; then what is wrong.
const shown = (element) =>
  element.checkVisibility({ opacityProperty: true, visibilityProperty: true })
  && !element.closest(".unseen, .skip, #tip, script, style, option, .bar, .score, [aria-hidden]");

// The part of a box that no frame around it cuts away.
const seen = (box, element) => {
  let [left, top, right, bottom] = [box.left, box.top, box.right, box.bottom];
  for (let one = element; one; one = one.parentElement) {
    if (getComputedStyle(one).overflowX === "visible" || one === document.documentElement) continue;
    if (one === document.body) continue;
    const frame = one.getBoundingClientRect();
    [left, right] = [Math.max(left, frame.left), Math.min(right, frame.right)];
    [top, bottom] = [Math.max(top, frame.top), Math.min(bottom, frame.bottom)];
  }
  return { left, top, right, bottom };
};

const lines = () => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.data.trim() || !shown(element)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      const part = seen(box, element);
      if (part.right - part.left > 2 && part.bottom - part.top > 4) {
        found.push({ node, element, text: node.data.trim().slice(0, 40), ...part });
      }
    }
  }
  return found;
};

const overlaps = (all) => {
  const sorted = [...all].sort((a, b) => a.top - b.top), found = [];
  for (let i = 0; i < sorted.length; i++) {
    const a = sorted[i];
    for (let j = i + 1; j < sorted.length && sorted[j].top < a.bottom - 3; j++) {
      const b = sorted[j];
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - b.top;
      if (a.node !== b.node && across > 2 && down > 3) found.push(`${a.text} | ${b.text}`);
    }
  }
  return found;
};

const rgba = (text) => {
  const numbers = text.match(/[\d.]+/g).map(Number);
  const scaled = text.startsWith("color(") ? numbers.map((n, i) => (i < 3 ? 255 * n : n)) : numbers;
  return [...scaled.slice(0, 3), scaled[3] ?? 1];
};
const over = (top, below) => top.slice(0, 3).map((c, i) => top[3] * c + (1 - top[3]) * below[i]);
const ground = (element) => {
  const layers = [];
  for (let one = element; one; one = one.parentElement) {
    layers.push(rgba(getComputedStyle(one).backgroundColor));
    if (layers.at(-1)[3] === 1) break;
  }
  const dark = !print && matchMedia("(prefers-color-scheme: dark)").matches;
  return layers.reverse().reduce((below, layer) => over(layer, below), dark ? [0, 0, 0] : [255, 255, 255]);
};
const luminance = (colour) => {
  const [r, g, b] = colour.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const print = matchMedia("print").matches;

// WCAG 2.2, 1.4.3: 4.5 to 1, for large text 3 to 1.
const faint = (all) => {
  const found = [];
  for (const element of new Set(all.map((line) => line.element))) {
    const style = getComputedStyle(element), below = ground(element);
    if (element.closest(":disabled")) continue;
    const ink = luminance(over(rgba(style.color), below)), paper = luminance(below);
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    const large = parseFloat(style.fontSize) >= (style.fontWeight >= 700 ? 18.66 : 24);
    if (ratio < (large ? 3 : 4.5)) found.push(`${element.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return found;
};

// Frames with more in them than they show: on paper none, elsewhere only with a shadow as a hint.
const cut = () =>
  [...document.querySelectorAll(".scroll, .drawing")]
    .filter((frame) => frame.checkVisibility() && frame.scrollWidth > frame.clientWidth + 1)
    .filter((frame) => print || !getComputedStyle(frame).backgroundImage.includes("radial-gradient"))
    .map((frame) => frame.getAttribute("aria-label") || frame.getAttribute("aria-labelledby"));

// Texts of figures, which are drawn as shapes.
const drawn = () =>
  [...document.querySelectorAll(".drawing svg")].filter((svg) => svg.checkVisibility()).map((svg) => {
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    return [...svg.querySelectorAll('g[id*="text_"]')].map((node) => {
      const { left, top, right, bottom } = node.getBoundingClientRect();
      const shrunk = { left: left / scale, top: top / scale, right: right / scale, bottom: bottom / scale };
      return { node, text: `${svg.closest("figure").id} ${node.id}`, ...shrunk };
    });
  });

// How large what is written in figures is, in px: glyphs are drawn at 100 units, then scaled.
const written = () =>
  [...document.querySelectorAll(".drawing svg")].filter((svg) => svg.checkVisibility()).map((svg) => {
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    const glyphs = [...svg.querySelectorAll('g[id*="text_"] g[transform*="scale("]')];
    return Math.min(...glyphs.map((g) => 100 * scale * g.getAttribute("transform").match(/scale\(([\d.]+)/)[1]));
  });
const scrolled = () =>
  [...document.querySelectorAll(".drawing")].filter((frame) => frame.scrollWidth > frame.clientWidth)
    .map((frame) => frame.closest("figure").id);

const offCanvas = () =>
  [...document.querySelectorAll(".drawing svg")].filter((svg) => svg.checkVisibility()).flatMap((svg) => {
    const canvas = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('g[id*="text_"]')].filter((node) => {
      const { left, top, right, bottom } = node.getBoundingClientRect();
      return left < canvas.left - 1 || top < canvas.top - 1 || right > canvas.right + 1 || bottom > canvas.bottom + 1;
    }).map((node) => `${svg.closest("figure").id} ${node.id}`);
  });

// Numbers and parts of names that go over lines within themselves.
const broken = () =>
  [...document.querySelectorAll(".plain :is(td.number, td.whole, .name), .turned td b")].flatMap((cell) => {
    const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), found = [];
    while (walker.nextNode()) {
      const node = walker.currentNode;
      if (!shown(node.parentElement)) continue;
      for (const part of node.data.matchAll(/(?<![^\s(])-?[^\s-]+|[^\s-]+/g)) {
        const range = document.createRange();
        range.setStart(node, part.index);
        range.setEnd(node, part.index + part[0].length);
        if (new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size > 1) found.push(part[0]);
      }
    }
    return found;
  });

const all = lines(), figures = drawn();
return {
  figures: figures.map((texts) => texts.length),
  drawn: figures.flatMap(overlaps),
  offCanvas: offCanvas(),
  written: written(),
  scrolled: scrolled(),
  lines: all.length,
  overlaps: overlaps(all),
  faint: faint(all),
  cut: cut(),
  broken: print ? broken() : [],
  width: document.documentElement.scrollWidth,
};
