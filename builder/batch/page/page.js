
"use strict";
// The page is whole without this. With it, the table can be sorted and filtered, and links open what they lead to.
(() => {
  const table = document.querySelector("table");
  if (table) {
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies[0].rows];
    const shown = document.querySelector("#shown");

    const value = (row, column) => {
      const cell = row.cells[column];
      return cell.classList.contains("n") ? Number(cell.dataset.v ?? -1) : cell.textContent;
    };
    const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));

    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        // Of numbers the largest are looked for, of names the first.
        const first = head.classList.contains("n") ? "descending" : "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        const order = head.getAttribute("aria-sort") === first ? other : first;
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        rows.sort((a, b) => sign * compare(value(a, column), value(b, column)));
        table.tBodies[0].append(...rows);
      });
    });

    const form = document.querySelector("#filter");
    const find = document.querySelector("#find");
    const status = document.querySelector("#status");
    const filter = () => {
      const words = find.value.toLowerCase().split(/\s+/);
      let count = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        const fits = words.every((word) => text.includes(word)) && (!status.value || row.dataset.s === status.value);
        row.hidden = !fits;
        count += fits;
      }
      shown.textContent = count === rows.length ? `${count} images` : `${count} of ${rows.length} images`;
    };
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", filter);
    form.hidden = false;
    // What a browser keeps of a form when a page is loaded again.
    filter();
  }

  const open = () => {
    const target = document.getElementById(location.hash.slice(1));
    const around = target?.closest("details");
    if (!around) return;
    around.open = true;
    target.scrollIntoView({ block: "nearest" });
    target.focus({ preventScroll: true });
  };
  addEventListener("hashchange", open);
  open();
})();
