// The enlarged view: what all generators made of one prompt with one seed, and the real picture.
(() => {
  const dialog = document.getElementById("zoom");
  if (!dialog) return;
  const data = JSON.parse(document.getElementById("gallery-data").textContent);
  const part = (name) => document.getElementById(`zoom-${name}`);
  let card, rows, row, column;

  const element = (kind, style, text) => {
    const made = document.createElement(kind);
    made.className = style;
    made.textContent = text;
    return made;
  };
  const tile = (number) => {
    const thumb = rows[number].thumbs[column];
    const made = element("button", "tile", "");
    made.type = "button";
    made.tabIndex = number === row ? 0 : -1;
    made.setAttribute("aria-current", String(number === row));
    made.addEventListener("click", () => show(number, column));
    const missing = thumb ? thumb.dataset.tip : "no picture";
    made.append(missing ? element("span", "gap", missing) : thumb.querySelector("img").cloneNode());
    made.append(element("span", "of", rows[number].name));
    const badge = missing ? null : thumb.querySelector(".score");
    if (badge && badge.title) made.append(element("span", "said", badge.title));
    return made;
  };
  const scores = () => {
    const thumb = rows[row].thumbs[column];
    const lines = [rows[row].name];
    if (thumb && thumb.dataset.path) lines.push(thumb.dataset.path);
    const known = data.scores[Number(card.dataset.index)][row];
    data.metrics.forEach((about, m) => {
      const value = known ? known[column][m] : null;
      if (value !== null) lines.push(`${about.label} (${about.name}): ${value}`);
    });
    return lines.join("\n");
  };
  const show = (toRow, toColumn) => {
    const columns = Math.max(...rows.map((one) => one.thumbs.length));
    row = (toRow + rows.length) % rows.length;
    column = Math.min(Math.max(toColumn, 0), columns - 1);
    part("prompt").textContent = card.querySelector("h3").textContent;
    const seed = card.querySelectorAll(".seed")[column].dataset.seed;
    part("place").textContent = `sample ${column + 1} of ${columns}${seed && `, seed ${seed}`}`;
    part("tiles").replaceChildren(...rows.map((_, number) => tile(number)));
    part("scores").textContent = scores();
    part("tiles").children[row].focus();
  };

  document.getElementById("prompts").addEventListener("click", (event) => {
    const thumb = event.target.closest(".thumb");
    if (!thumb) return;
    card = thumb.closest(".prompt");
    rows = [...card.querySelectorAll(".side")].map((side) => ({
      name: side.querySelector(".who").textContent,
      thumbs: [...side.querySelectorAll(".thumb")],
    }));
    const chosen = rows.findIndex((one) => one.thumbs.includes(thumb));
    dialog.showModal();
    show(chosen, rows[chosen].thumbs.indexOf(thumb));
  });
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  dialog.addEventListener("keydown", (event) => {
    if (!(event.key in moves)) return;
    event.preventDefault();
    show(row + moves[event.key][0], column + moves[event.key][1]);
  });
  for (const button of dialog.querySelectorAll("[data-by]")) {
    button.addEventListener("click", () => show(row, column + Number(button.dataset.by)));
  }
  dialog.addEventListener("close", () => rows[row].thumbs[column]?.focus());
})();
