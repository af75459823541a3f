
"use strict";
// What is searched and sorted is what the cells show: text without case and accents, or the first number.
const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
const number = (text) => parseFloat(text.replaceAll(",", "").match(/-?\d+(\.\d+)?/) ?? "");

// A click on a head sorts by its column; a second one turns the order round. Cells without a value stay last.
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const rows = [...body.rows];

  const sort = (column, direction) => {
    const read = heads[column].dataset.kind === "number" ? number : plain;
    const sign = direction === "ascending" ? 1 : -1;
    const keys = new Map(rows.map((row) => [row, read(row.cells[column].textContent.trim())]));
    const absent = (key) => key === "" || Number.isNaN(key);
    const compare = (a, b) => absent(a) - absent(b) || (absent(a) ? 0 : a < b ? -sign : a > b ? sign : 0);
    body.append(...[...rows].sort((left, right) => compare(keys.get(left), keys.get(right))));
    heads.forEach((head, i) => head.setAttribute("aria-sort", i === column ? direction : "none"));
  };

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const first = head.dataset.first;
      const other = first === "ascending" ? "descending" : "ascending";
      sort(column, head.getAttribute("aria-sort") === first ? other : first);
    });
  });
}

// The rows that have every word of the search stay; Escape clears it.
const form = document.querySelector("form");
if (form) {
  const rows = [...document.querySelectorAll(".rows tbody tr")];
  const [input, output] = form.elements;
  const total = `${rows.length.toLocaleString("en")} rows`;
  let texts;
  const search = () => {
    texts ??= rows.map((row) => {
      const parts = row.querySelectorAll(".team, .system :is(span, small), .members");
      return plain([...parts].map((part) => part.textContent).join("\n"));
    });
    const words = plain(input.value).split(/\s+/);
    let shown = 0;
    rows.forEach((row, place) => {
      row.hidden = !words.every((word) => texts[place].includes(word));
      shown += !row.hidden;
    });
    output.value = `${shown.toLocaleString("en")} of ${total}`;
  };
  input.addEventListener("input", search);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      input.value = "";
      search();
    }
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  output.value = total;
  form.hidden = rows.length < 6;
}
