// Click a heading: sort by that column; click again: the other way; not measured stays last.
(() => {
  const key = (row, column) => {
    const text = row.cells[column].dataset.value;
    return text === "" || text === undefined ? null : Number(text);
  };
  const sort = (table, column, rising) => {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    rows.sort((a, b) => {
      const [x, y] = [key(a, column), key(b, column)];
      if (x === null || y === null) return (x === null) - (y === null);
      return rising ? x - y : y - x;
    });
    body.append(...rows);
  };
  for (const table of document.querySelectorAll("table.results")) {
    for (const button of table.querySelectorAll("button.sort")) {
      button.addEventListener("click", () => {
        const heading = button.closest("th");
        const rising = heading.getAttribute("aria-sort") !== "ascending";
        for (const other of table.querySelectorAll("thead th")) other.setAttribute("aria-sort", "none");
        heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
        sort(table, Number(button.dataset.column), rising);
      });
    }
  }
})();
