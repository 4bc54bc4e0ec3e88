// Click a heading: order the generators by that metric; again: the other way; not measured stays last.
(() => {
  const value = (cell) => {
    const text = cell.dataset.value;
    return text === "" || text === undefined ? null : Number(text);
  };
  for (const frame of document.querySelectorAll(".scroll:has(> .results)")) {
    const body = frame.querySelector(".results").tBodies[0];
    const rows = [...body.rows];
    const turned = [...frame.querySelectorAll(".turned tr")].map((row) => [row, [...row.cells].slice(1)]);
    const sort = (column, rising) => {
      const values = rows.map((row) => value(row.cells[column]));
      const order = [...rows.keys()].sort((i, j) => {
        const [x, y] = [values[i], values[j]];
        if (x === null || y === null) return (x === null) - (y === null);
        return rising ? x - y : y - x;
      });
      body.append(...order.map((i) => rows[i]));
      for (const [row, cells] of turned) row.append(...order.map((i) => cells[i]));
    };
    for (const button of frame.querySelectorAll("button.sort")) {
      button.addEventListener("click", () => {
        const rising = button.closest("th").getAttribute("aria-sort") !== "ascending";
        for (const other of frame.querySelectorAll("button.sort")) {
          const same = other.dataset.column === button.dataset.column;
          const way = rising ? "ascending" : "descending";
          other.closest("th").setAttribute("aria-sort", same ? way : "none");
        }
        sort(Number(button.dataset.column), rising);
      });
    }
  }
})();
