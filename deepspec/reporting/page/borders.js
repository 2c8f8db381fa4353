// The table of borders, the most graded first, of whatever cut is shown; a click draws the spectra of both clusters.

// Jeffreys' divergence of two spectra of counts in some channels, less that of noise: deepspec.segmentation.scatter.
function divergence(spectra, channels) {
  if (!channels.length) return 0;
  const [first, second] = spectra.map((counts) => {
    const inside = channels.reduce((sum, c) => sum + counts[c] + 0.5, 0);
    return { counts, inside, weight: inside / counts.reduce((sum, count) => sum + count + 0.5, 0) };
  });
  let [found, occupied] = [0, 0];
  for (const c of channels) {
    const [p, q] = [first, second].map(({ counts, inside }) => (counts[c] + 0.5) / inside);
    found += (first.weight * p - second.weight * q) * Math.log(p / q);
    const both = first.counts[c] + second.counts[c];
    occupied += both / (both + 1);
  }
  return found - 0.5 * (first.weight + second.weight) * occupied * (1 / first.inside + 1 / second.inside);
}

// Share of what tells two clusters apart that goes when the channels of scatter are left out.
function scatterShare(data, i, j) {
  const values = data.spectra.raw.values;
  const n = data.axes.measured.values.length;
  const scattered = new Set(data.scattered);
  const spectra = [i, j].map((cluster) =>
    Array.from(values.subarray(cluster * n, (cluster + 1) * n), (v) => Math.max(v, 0) * data.sizes[cluster]));
  if (!spectra.every((counts) => counts.every(Number.isFinite) && counts.some((count) => count > 0))) return NaN;
  const all = Array.from({ length: n }, (_, c) => c);
  const total = divergence(spectra, all);
  const elements = divergence(spectra, all.filter((c) => !scattered.has(c)));
  return total > 0 ? Math.min(1, Math.max(0, 1 - elements / total)) : NaN;
}

function scatterText(data, i, j) {
  const share = scatterShare(data, i, j);
  if (!Number.isFinite(share)) return "not known";
  return `${(100 * share).toFixed(0)} %${share > data.mostly ? ", drives the border" : ""}`;
}

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
      const cells = [[`${i} and ${j}`, ""], [r.toFixed(2), "number"], [kind, kind]];
      if (data.scattered) cells.push([scatterText(data, i, j), ""]);
      for (const [text, className] of cells) {
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
