
"use strict";
// A click on a head sorts by its column; a second one turns the order round. Cells without a value stay last.
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const order = new Map([...body.rows].map((row, place) => [row, place]));

  const compare = (kind, a, b) => (kind === "number" ? Number(a) - Number(b) : a < b ? -1 : a > b ? 1 : 0);

  const sort = (column, direction) => {
    const kind = heads[column].dataset.kind;
    const sign = direction === "ascending" ? 1 : -1;
    const rows = [...body.rows].sort((left, right) => {
      const a = left.cells[column].dataset.sort;
      const b = right.cells[column].dataset.sort;
      if (a === undefined || b === undefined) {
        return (a === undefined) - (b === undefined) || order.get(left) - order.get(right);
      }
      const [x, y] = kind === "text" ? [a.toLowerCase(), b.toLowerCase()] : [a, b];
      return sign * compare(kind, x, y) || order.get(left) - order.get(right);
    });
    body.append(...rows);
    heads.forEach((head, i) => head.setAttribute("aria-sort", i === column ? direction : "none"));
  };

  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const first = head.dataset.first;
      const other = first === "ascending" ? "descending" : "ascending";
      sort(column, head.getAttribute("aria-sort") === first ? other : first);
    });
  });
}
