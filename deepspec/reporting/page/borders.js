// The table of borders, the most graded first, of whatever cut is shown; a click draws the spectra of both clusters.

function makeBorders(data, state) {
  const table = document.getElementById("borders");
  if (!table) return;
  let drawn = data.borders;

  function update() {
    if (drawn === data.borders) return;
    drawn = data.borders;
    const pairs = [];
    drawn.forEach((row, i) => row.forEach((r, j) => { if (i < j) pairs.push({ i, j, r }); }));
    pairs.sort((a, b) => b.r - a.r);
    table.tBodies[0].replaceChildren(...pairs.map(({ i, j, r }) => {
      const row = document.createElement("tr");
      row.dataset.pair = `${i},${j}`;
      const kind = r < data.graded ? "firm" : "graded";
      for (const [text, className] of [[`${i} and ${j}`, ""], [r.toFixed(2), "number"], [kind, kind]]) {
        const cell = row.insertCell();
        cell.textContent = text;
        cell.className = className;
      }
      return row;
    }));
  }

  table.tBodies[0].addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (!row) return;
    const pair = row.dataset.pair.split(",").map(Number);
    state.shown.fill(false);
    for (const cluster of pair) state.shown[cluster] = true;
    state.select(pair[0]);
  });
  state.onChange(update);
}
