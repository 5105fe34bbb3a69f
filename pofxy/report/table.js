// Sorts the tables by a column. The address holds the order: #sort=accuracy is best first, #sort=-accuracy the reverse.
const headers = [...document.querySelectorAll("table.sortable th[data-key]")];
const current = () => decodeURIComponent(location.hash).match(/^#sort=(-?)(.+)$/) || [];

function compare(a, b) {
  const [x, y] = [Number(a), Number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
}

function sort() {
  const [, reversed, key] = current();
  if (!key) return;
  for (const header of headers) {
    header.removeAttribute("aria-sort");
    if (header.dataset.key !== key) continue;
    const descending = (header.dataset.best === "descending") !== Boolean(reversed);
    const body = header.closest("table").tBodies[0];
    const value = (row) => row.cells[header.cellIndex].dataset.value;
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      // A row without a value comes last in either order.
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
      return descending ? compare(y, x) : compare(x, y);
    });
    body.append(...rows);
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  }
}

for (const header of headers) {
  header.querySelector("button").addEventListener("click", () => {
    const [, reversed, key] = current();
    const reverse = key === header.dataset.key && !reversed;
    location.replace("#sort=" + (reverse ? "-" : "") + encodeURIComponent(header.dataset.key));
  });
}
addEventListener("hashchange", sort);
sort();
