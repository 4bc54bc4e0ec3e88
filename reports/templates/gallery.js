// The gallery: filter by category and words, order by score, turn pages, enlarge.
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
  let page = 0;

  const metric = () => (data.metrics.length ? Number(pick("metric").value) : -1);
  const mean = (card, generator) => {
    const known = data.scores[card.index][generator].map((s) => s[metric()]).filter((v) => v !== null);
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  };
  const written = (value, about) => {
    if (!about.yesno) return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2);
    return value >= 0.5 ? "\u2713" : "\u2717";
  };
  const gain = (card) => {
    const [a, b] = [mean(card, Number(pick("first").value)), mean(card, Number(pick("second").value))];
    if (a === null || b === null) return null;
    return data.metrics[metric()].lower ? b - a : a - b;
  };
  const ahead = (difference) => {
    if (Math.abs(difference) < 0.005) return "level";
    const better = data.generators[Number(pick(difference > 0 ? "first" : "second").value)];
    return `${better} ahead by ${Math.abs(difference).toFixed(2)}`;
  };
  const ranked = (card, order) => {
    if (order !== "low") return order === "a" ? gain(card) : negative(gain(card));
    const value = mean(card, Number(pick("first").value));
    return data.metrics[metric()].lower ? value : negative(value);
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
    for (const thumb of card.element.querySelectorAll("button.thumb")) {
      const value = data.scores[card.index][Number(thumb.dataset.g)][Number(thumb.dataset.k)][metric()];
      const badge = thumb.querySelector(".score");
      badge.textContent = value === null ? "" : written(value, about);
      badge.className = `score ${about.yesno && value !== null ? (value >= 0.5 ? "yes" : "no") : ""}`;
      badge.title = value === null ? "" : `${about.label}: ${value}`;
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
    const shown = kept.slice(page * pageSize, (page + 1) * pageSize);
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

  const zoom = pick("zoom");
  holder.addEventListener("click", (event) => {
    const thumb = event.target.closest("button.thumb");
    if (!thumb) return;
    const card = cards.find((c) => c.element.contains(thumb));
    const [g, k] = [Number(thumb.dataset.g), Number(thumb.dataset.k)];
    const small = thumb.querySelector("img");
    const lines = [small.alt, card.element.querySelector("h3").textContent, thumb.dataset.path];
    data.metrics.forEach((about, m) => {
      const value = data.scores[card.index][g][k][m];
      if (value !== null) lines.push(`${about.label} (${about.name}): ${value}`);
    });
    zoom.querySelector("img").src = small.src;
    zoom.querySelector("img").alt = small.alt;
    zoom.querySelector("p").textContent = lines.join("\n");
    zoom.showModal();
  });

  data.metrics.forEach((about, m) => {
    pick("metric").append(new Option(about.name, String(m)));
  });
  pick("controls").hidden = false;
  pick("controls").addEventListener("submit", (event) => event.preventDefault());
  pick("controls").addEventListener("input", () => { page = 0; update(); });
  pick("previous").addEventListener("click", () => turn(-1));
  pick("next").addEventListener("click", () => turn(1));
  update();
})();
