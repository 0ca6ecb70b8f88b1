// Every table of the class "sortable" is sorted by a click on a heading, and filtered by words.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const value = (row, i) => row.cells[i].textContent.trim().replace("\u2212", "-");
  const number = (text) => { const found = text.match(/^[+<[]?(-?[\d.,]+)/); return found ? parseFloat(found[1].replaceAll(",", "")) : NaN; };
  const compare = (a, b) => { const x = number(a), y = number(b); return isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) || a.localeCompare(b) : x - y; };
  heads.forEach((head, i) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      body.append(...rows.sort((a, b) => (up ? 1 : -1) * compare(value(a, i), value(b, i))));
    });
  });
  if (rows.length < 5) continue;
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = `filter ${rows.length} rows`;
  field.setAttribute("aria-label", "show only rows with these words");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row) => { row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word)); });
  });
  table.parentNode.before(field);
}
