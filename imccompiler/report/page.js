for (const head of document.querySelectorAll("th[data-sort]")) {
  head.addEventListener("click", () => {
    const body = head.closest("table").tBodies[0];
    const column = head.cellIndex;
    const down = head.dataset.sort !== "down";
    head.dataset.sort = down ? "down" : "up";
    const value = (row) => {
      const raw = row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      return raw === "" || isNaN(raw) ? raw : Number(raw);
    };
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (typeof x === "number" && typeof y === "number") return down ? y - x : x - y;
      return (down ? 1 : -1) * String(x).localeCompare(String(y));
    });
    body.append(...rows);
  });
}
