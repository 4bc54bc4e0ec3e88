// The gallery: filter by category and words, order by score, turn pages, move by arrow keys.
(() => {
  const holder = document.getElementById("prompts");
  if (!holder) return;
  const data = JSON.parse(document.getElementById("gallery-data").textContent);
  const pick = (id) => document.getElementById(id);
  const cards = [...holder.children].map((element) => ({
    element,
    index: Number(element.dataset.index),
    order: Number(element.dataset.order),
    category: element.dataset.category,
    words: `${element.querySelector("h3").textContent} ${element.dataset.id}`.toLowerCase(),
  }));
  const pageSize = 12;
  let page = 0, paper = false;

  const metric = () => (data.metrics.length ? Number(pick("metric").value) : -1);
  const mean = (card, generator) => {
    const known = data.scores[card.index][generator].map((s) => s[metric()]).filter((v) => v !== null);
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  };
  const written = (value, about) => {
    if (!about.yesno) return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2);
    return value >= 0.5 ? "\u2713" : "\u2717";
  };
  const goodness = (value) => {
    const about = data.metrics[metric()];
    if (about.target !== null) return -Math.abs(value - about.target);
    return about.lower ? -value : value;
  };
  const gain = (card) => {
    const [a, b] = [mean(card, Number(pick("first").value)), mean(card, Number(pick("second").value))];
    if (a === null || b === null) return null;
    const [x, y] = [a, b].map((value) => goodness(value));
    return x - y;
  };
  const ahead = (difference) => {
    const { factor, decimals, unit } = data.metrics[metric()].ahead;
    const by = (Math.abs(difference) / factor).toFixed(decimals);
    if (Number(by) === 0) return "level";
    const better = data.generators[Number(pick(difference > 0 ? "first" : "second").value)];
    return `${better} ahead by ${by} ${unit}`.trimEnd();
  };
  const ranked = (card, order) => {
    if (order !== "low") return order === "a" ? gain(card) : negative(gain(card));
    const value = mean(card, Number(pick("first").value));
    return value === null ? null : -goodness(value);
  };
  const negative = (value) => (value === null ? null : -value);

  const ordered = (kept) => {
    const order = metric() < 0 ? "suite" : pick("order").value;
    if (order === "suite") return kept.sort((x, y) => x.order - y.order);
    const ranks = new Map(kept.map((card) => [card, ranked(card, order)]));
    return kept.sort((x, y) => {
      const [a, b] = [ranks.get(x), ranks.get(y)];
      if (a === null || b === null) return (a === null) - (b === null) || x.order - y.order;
      return b - a || x.order - y.order;
    });
  };

  const label = (card) => {
    if (metric() < 0) return;
    const about = data.metrics[metric()];
    for (const badge of card.element.querySelectorAll(".score")) {
      const thumb = badge.parentElement;
      const value = data.scores[card.index][Number(thumb.dataset.g)][Number(thumb.dataset.k)][metric()];
      const wrong = about.facts && value !== null && value < 1 ? ` ${thumb.dataset.wrong}` : "";
      badge.textContent = value === null ? "" : written(value, about) + wrong;
      badge.className = `score ${about.yesno && value !== null ? (value >= 0.5 ? "yes" : "no") : ""}`;
      badge.title = value === null ? "" : `${about.label}: ${value}${wrong && `, wrong:${wrong}`}`;
    }
    const difference = gain(card);
    card.element.querySelector(".gain").textContent = difference === null ? "" : ahead(difference);
  };

  const update = () => {
    const words = pick("search").value.trim().toLowerCase().split(/\s+/);
    const category = pick("category").selectedIndex > 0 ? pick("category").value : null;
    const kept = ordered(cards.filter((card) => (category === null || card.category === category)
      && words.every((word) => card.words.includes(word))));
    const pages = Math.max(1, Math.ceil(kept.length / pageSize));
    page = Math.min(Math.max(0, page), pages - 1);
    const shown = paper ? kept : kept.slice(page * pageSize, (page + 1) * pageSize);
    for (const card of cards) card.element.hidden = true;
    for (const card of shown) {
      label(card);
      card.element.hidden = false;
    }
    holder.append(...shown.map((card) => card.element));
    pick("status").textContent = `${kept.length} of ${cards.length} prompts`;
    pick("page").textContent = `Page ${page + 1} of ${pages}`;
    pick("previous").disabled = page === 0;
    pick("next").disabled = page === pages - 1;
    pick("pager").hidden = pages < 2;
  };

  const turn = (by) => {
    page += by;
    update();
    document.getElementById("gallery").scrollIntoView();
  };

  // One stop of the tab key for the pictures of a prompt, and arrow keys between them.
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const rows = (grid) => [...grid.querySelectorAll(".side")].map((row) => [...row.querySelectorAll(".thumb")]);
  const enter = (thumb) => {
    for (const other of thumb.closest(".grid").querySelectorAll(".thumb")) other.tabIndex = -1;
    thumb.tabIndex = 0;
  };
  for (const grid of holder.querySelectorAll(".grid")) {
    grid.role = "grid";
    for (const cell of grid.querySelectorAll("[role=cell]")) cell.role = "gridcell";
    const first = grid.querySelector(".thumb");
    if (first) enter(first);
  }
  holder.addEventListener("focusin", (event) => {
    if (event.target.matches(".thumb")) enter(event.target);
  });
  holder.addEventListener("keydown", (event) => {
    const thumb = event.target.closest(".thumb");
    if (!thumb || !(event.key in moves)) return;
    event.preventDefault();
    const all = rows(thumb.closest(".grid"));
    const row = all.findIndex((one) => one.includes(thumb));
    const [down, right] = moves[event.key];
    all[row + down]?.[all[row].indexOf(thumb) + right]?.focus();
  });

  data.metrics.forEach((about, m) => {
    pick("metric").append(new Option(about.name, String(m)));
  });
  pick("controls").hidden = pick("keys").hidden = false;
  pick("controls").addEventListener("submit", (event) => event.preventDefault());
  pick("controls").addEventListener("input", () => { page = 0; update(); });
  pick("previous").addEventListener("click", () => turn(-1));
  pick("next").addEventListener("click", () => turn(1));
  // On paper all pages lie below each other.
  for (const [event, on] of [["beforeprint", true], ["afterprint", false]]) {
    addEventListener(event, () => { paper = on; update(); });
  }
  update();
})();
